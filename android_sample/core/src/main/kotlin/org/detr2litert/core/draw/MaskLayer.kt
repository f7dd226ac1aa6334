package org.detr2litert.core.draw

import org.detr2litert.core.decode.Detections

/**
 * A picture's masks as one translucent layer, to be drawn over it: where masks overlap, the best detection's is on top.
 *
 * Memory is kept for pictures of the same size. Not thread-safe.
 */
class MaskLayer {
    /** Colours 0xAARRGGBB, not premultiplied, [height] x [width] row by row; 0 where there is no mask. */
    var pixels = IntArray(0)
        private set
    var width = 0
        private set
    var height = 0
        private set

    /**
     * Paints the masks of [detections], best first, in the colour of their class; returns false, without painting, if there are
     * none.
     *
     * @param colours by class index; their opacity is ignored.
     */
    fun paint(detections: Detections, colours: IntArray): Boolean {
        if ((0 until detections.count).all { detections.masks[it] == null }) return false
        width = detections.width
        height = detections.height
        if (pixels.size == width * height) pixels.fill(0) else pixels = IntArray(width * height)
        for (index in detections.count - 1 downTo 0) {
            val mask = detections.masks[index] ?: continue
            val colour = (OPACITY shl 24) or (colours[detections.classIndex[index]] and 0xFFFFFF)
            mask.forEachSegment { column, from, until ->
                var at = from * width + column
                repeat(until - from) {
                    pixels[at] = colour
                    at += width
                }
            }
        }
        return true
    }

    private companion object {
        /** Of a mask, of 255, as in `host_runtime.draw`. */
        const val OPACITY = 110
    }
}
