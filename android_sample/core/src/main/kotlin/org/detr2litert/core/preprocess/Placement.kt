package org.detr2litert.core.preprocess

import org.detr2litert.core.manifest.Fit
import org.detr2litert.core.manifest.PreprocessSpec

/**
 * Where a picture lies in the input after the resize, equal to `host_runtime.placement`: [width] x [height] pixels at [left],
 * [top]. Computed in double and in the same order, so that no side differs by a pixel. Allocates nothing when the picture
 * changes. Not thread-safe.
 */
class Placement(private val spec: PreprocessSpec) {
    private var pictureWidth = 0
    private var pictureHeight = 0

    var width = spec.width
        private set
    var height = spec.height
        private set
    var left = 0
        private set
    var top = 0
        private set

    /** From fractions of the input to pixels of the picture: fraction * scale + offset. */
    var scaleX = 0f
        private set
    var scaleY = 0f
        private set
    var offsetX = 0f
        private set
    var offsetY = 0f
        private set

    /** Whether any pixel of the input is not of the picture. */
    val pads: Boolean get() = width != spec.width || height != spec.height

    /** Places a picture of [newWidth] x [newHeight] pixels; returns false if it has the size of the last one. */
    fun place(newWidth: Int, newHeight: Int): Boolean {
        if (newWidth == pictureWidth && newHeight == pictureHeight) return false
        pictureWidth = newWidth
        pictureHeight = newHeight
        if (spec.fit != Fit.STRETCH) {
            val factor = minOf(spec.height.toDouble() / newHeight, spec.width.toDouble() / newWidth)
            height = rounded(newHeight * factor).coerceIn(1, spec.height)
            width = rounded(newWidth * factor).coerceIn(1, spec.width)
        }
        if (spec.fit == Fit.LETTERBOX) {
            top = (spec.height - height) / 2
            left = (spec.width - width) / 2
        }
        val enlargedX = newWidth.toDouble() / width
        val enlargedY = newHeight.toDouble() / height
        scaleX = (spec.width * enlargedX).toFloat()
        scaleY = (spec.height * enlargedY).toFloat()
        offsetX = (-left * enlargedX).toFloat()
        offsetY = (-top * enlargedY).toFloat()
        return true
    }

    /** To nearest, half to even; down for a picture at the top left. */
    private fun rounded(side: Double): Int = if (spec.fit == Fit.LETTERBOX) Math.rint(side).toInt() else side.toInt()
}
