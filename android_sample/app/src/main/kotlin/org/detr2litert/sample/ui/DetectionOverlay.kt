package org.detr2litert.sample.ui

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Paint
import android.graphics.RectF
import android.util.AttributeSet
import android.view.View
import org.detr2litert.core.decode.Detections
import org.detr2litert.core.draw.ClassColours
import org.detr2litert.core.draw.LabelPlacer
import org.detr2litert.core.draw.Letterbox
import org.detr2litert.core.draw.MaskLayer
import org.detr2litert.core.draw.SkeletonDrawing
import org.detr2litert.core.draw.SkeletonPen
import org.detr2litert.core.manifest.Manifest

/**
 * Draws masks, boxes, keypoints and labels over a picture shown whole and centred in the same bounds.
 *
 * Boxes have dark edges and labels a background, so that both are legible on any picture. The best detection is drawn last, on
 * top. Masks are translucent areas in their class's colour, and keypoints are joined by the lines of its skeleton. Drawing allocates
 * only for text layout.
 */
class DetectionOverlay(context: Context, attributes: AttributeSet?) : View(context, attributes) {
    private val letterbox = Letterbox()
    private val edge = Paint().apply { style = Paint.Style.STROKE }
    private val line = Paint().apply { style = Paint.Style.STROKE }
    private val background = Paint()
    private val ink = Paint(Paint.ANTI_ALIAS_FLAG)
    private val shading = Paint(Paint.FILTER_BITMAP_FLAG)
    private val layer = MaskLayer()
    private val filling = Paint(Paint.ANTI_ALIAS_FLAG)
    private val area = RectF()
    private val label = StringBuilder()
    private var shade: Bitmap? = null
    private var isShaded = false
    private var placer = LabelPlacer(0)
    private var colours = IntArray(0)
    private var names = emptyArray<String>()
    private var skeletons: SkeletonDrawing? = null

    /** The canvas that is being drawn on, with the points' radius. */
    private val pen = object : SkeletonPen {
        var canvas: Canvas? = null

        override fun line(fromX: Float, fromY: Float, toX: Float, toY: Float, colour: Int) {
            line.color = colour
            canvas?.drawLine(fromX, fromY, toX, toY, edge)
            canvas?.drawLine(fromX, fromY, toX, toY, line)
        }

        override fun point(x: Float, y: Float, colour: Int) {
            filling.color = edge.color
            canvas?.drawCircle(x, y, SkeletonDrawing.RADIUS * line.strokeWidth + line.strokeWidth / 2, filling)
            filling.color = colour
            canvas?.drawCircle(x, y, SkeletonDrawing.RADIUS * line.strokeWidth, filling)
        }
    }

    /** The drawn detections; fill them and call [refresh]. */
    var detections = Detections(0)
        private set

    /** Whether the picture is mirrored (a front camera's preview). */
    var mirrored = false

    init {
        val density = resources.displayMetrics.density
        line.strokeWidth = LINE_DP * density
        edge.strokeWidth = 2 * LINE_DP * density
        edge.color = Color.argb(160, 0, 0, 0)
        ink.textSize = TEXT_SP * resources.displayMetrics.scaledDensity
    }

    /** Prepares for the detections of a bundle. */
    fun prepare(capacity: Int, manifest: Manifest) {
        detections = Detections(capacity)
        placer = LabelPlacer(capacity)
        // Labels have one line.
        isShaded = false
        names = Array(manifest.classes.size) { manifest.className(it).split(WHITE_SPACE).joinToString(" ") }
        colours = IntArray(manifest.classes.size) { ClassColours.of(it) }
        skeletons = manifest.postprocess.keypoints?.let { SkeletonDrawing(manifest) }
        invalidate()
    }

    /** Draws what is now in [detections]. */
    fun refresh() {
        isShaded = layer.paint(detections, colours)
        if (isShaded) {
            val fitting = shade?.takeIf { it.width == layer.width && it.height == layer.height }
            val bitmap = fitting ?: Bitmap.createBitmap(layer.width, layer.height, Bitmap.Config.ARGB_8888).also { shade = it }
            bitmap.setPixels(layer.pixels, 0, layer.width, 0, 0, layer.width, layer.height)
        }
        invalidate()
    }

    /** Removes all detections. */
    fun clear() {
        detections.clear()
        isShaded = false
        invalidate()
    }

    /** The drawn class names, best first. */
    fun found(): List<String> = List(detections.count) { names[detections.classIndex[it]] }

    override fun onDraw(canvas: Canvas) {
        letterbox.fit(detections.width, detections.height, width, height)
        placer.clear()
        if (isShaded) shade?.let { drawMasks(canvas, it) }
        for (index in detections.count - 1 downTo 0) drawBox(canvas, index)
        pen.canvas = canvas
        skeletons?.draw(detections, letterbox, mirrored, colours, pen)
        pen.canvas = null
        for (index in 0 until detections.count) drawLabel(canvas, index)
    }

    private fun left(index: Int): Float = letterbox.toViewX(
        if (mirrored) detections.width - detections.right(index) else detections.left(index),
    )

    private fun right(index: Int): Float = letterbox.toViewX(
        if (mirrored) detections.width - detections.left(index) else detections.right(index),
    )

    private fun drawMasks(canvas: Canvas, masks: Bitmap) {
        area.set(
            letterbox.toViewX(0f),
            letterbox.toViewY(0f),
            letterbox.toViewX(detections.width.toFloat()),
            letterbox.toViewY(detections.height.toFloat()),
        )
        canvas.save()
        if (mirrored) canvas.scale(-1f, 1f, width / 2f, 0f)
        canvas.drawBitmap(masks, null, area, shading)
        canvas.restore()
    }

    private fun drawBox(canvas: Canvas, index: Int) {
        val top = letterbox.toViewY(detections.top(index))
        val bottom = letterbox.toViewY(detections.bottom(index))
        line.color = colours[detections.classIndex[index]]
        canvas.drawRect(left(index), top, right(index), bottom, edge)
        canvas.drawRect(left(index), top, right(index), bottom, line)
    }

    private fun drawLabel(canvas: Canvas, index: Int) {
        val classIndex = detections.classIndex[index]
        val percent = Math.round(detections.score[index] * 100)
        label.setLength(0)
        label.append(names[classIndex]).append(' ').append(percent / 100).append('.')
        label.append(percent / 10 % 10).append(percent % 10)
        val pad = line.strokeWidth
        val ascent = -ink.ascent()
        val labelWidth = ink.measureText(label, 0, label.length) + 2 * pad
        val labelHeight = ascent + ink.descent() + 2 * pad
        placer.place(
            left(index),
            letterbox.toViewY(detections.top(index)),
            letterbox.toViewY(detections.bottom(index)),
            labelWidth,
            labelHeight,
            width.toFloat(),
            height.toFloat(),
        )
        background.color = colours[classIndex]
        ink.color = if (ClassColours.needsBlackText(colours[classIndex])) Color.BLACK else Color.WHITE
        canvas.drawRect(placer.left, placer.top, placer.left + labelWidth, placer.top + labelHeight, background)
        canvas.drawText(label, 0, label.length, placer.left + pad, placer.top + pad + ascent, ink)
    }

    private companion object {
        const val LINE_DP = 2f
        const val TEXT_SP = 13f
        val WHITE_SPACE = Regex("\\s+")
    }
}
