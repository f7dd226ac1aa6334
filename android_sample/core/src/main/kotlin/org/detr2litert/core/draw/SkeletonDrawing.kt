package org.detr2litert.core.draw

import org.detr2litert.core.decode.Detections
import org.detr2litert.core.manifest.Manifest

/** Draws the lines and points of a [SkeletonDrawing] on a canvas; the app's is Android's. Coordinates are the view's pixels. */
interface SkeletonPen {
    /** A line of a skeleton, in [colour] 0xAARRGGBB. */
    fun line(fromX: Float, fromY: Float, toX: Float, toY: Float, colour: Int)

    /** A filled circle in [colour] with a dark rim. */
    fun point(x: Float, y: Float, colour: Int)
}

/**
 * What is drawn of detections' keypoints, as in `host_runtime.draw`: the points whose score is at least one half, in their
 * class's colour, and the lines of the skeleton between two such points, below them; the best detection last, on top. Allocates
 * nothing.
 */
class SkeletonDrawing(manifest: Manifest) {
    /** By class, the ends of its lines, two by two; null for a class without keypoints. */
    private val lines = arrayOfNulls<IntArray>(manifest.classes.size).also { all ->
        for (of in manifest.postprocess.keypoints?.classes.orEmpty()) {
            all[of.classIndex] = of.skeleton.flatMap { (from, to) -> listOf(from, to) }.toIntArray()
        }
    }

    /**
     * @param detections best first.
     * @param letterbox of the picture in the view.
     * @param mirrored whether the picture is shown mirrored.
     * @param colours by class index.
     */
    fun draw(detections: Detections, letterbox: Letterbox, mirrored: Boolean, colours: IntArray, pen: SkeletonPen) {
        for (index in detections.count - 1 downTo 0) draw(detections, index, letterbox, mirrored, colours, pen)
    }

    private fun draw(
        detections: Detections,
        index: Int,
        letterbox: Letterbox,
        mirrored: Boolean,
        colours: IntArray,
        pen: SkeletonPen,
    ) {
        val points = detections.keypoints[index] ?: return
        val ends = lines[detections.classIndex[index]] ?: return
        val colour = colours[detections.classIndex[index]]
        fun x(point: Int) = points.x(point).let { letterbox.toViewX(if (mirrored) detections.width - it else it) }
        fun y(point: Int) = letterbox.toViewY(points.y(point))
        for (line in ends.indices step 2) {
            val from = ends[line]
            val to = ends[line + 1]
            if (isSure(points.score(from)) && isSure(points.score(to))) pen.line(x(from), y(from), x(to), y(to), colour)
        }
        for (point in 0 until points.count) {
            if (isSure(points.score(point))) pen.point(x(point), y(point), colour)
        }
    }

    private fun isSure(score: Float) = score >= LEAST

    companion object {
        /** Of a point, in widths of a line. */
        const val RADIUS = 1.5f

        /** The lowest score of a point that is drawn. */
        private const val LEAST = 0.5f
    }
}
