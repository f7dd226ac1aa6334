package org.detr2litert.core.draw

/**
 * Fits a whole picture into a view, undistorted and centred, with bars on two sides.
 *
 * A point p in picture pixels maps to p * [scale] + ([offsetX], [offsetY]) in view pixels.
 */
class Letterbox {
    var scale = 1f
        private set
    var offsetX = 0f
        private set
    var offsetY = 0f
        private set

    /** Computes the fit; a picture or view without area maps every point to the origin. */
    fun fit(pictureWidth: Int, pictureHeight: Int, viewWidth: Int, viewHeight: Int) {
        if (pictureWidth <= 0 || pictureHeight <= 0 || viewWidth <= 0 || viewHeight <= 0) {
            scale = 0f
            offsetX = 0f
            offsetY = 0f
            return
        }
        scale = minOf(viewWidth.toFloat() / pictureWidth, viewHeight.toFloat() / pictureHeight)
        offsetX = (viewWidth - pictureWidth * scale) / 2
        offsetY = (viewHeight - pictureHeight * scale) / 2
    }

    fun toViewX(x: Float): Float = x * scale + offsetX

    fun toViewY(y: Float): Float = y * scale + offsetY

    fun toPictureX(x: Float): Float = if (scale == 0f) 0f else (x - offsetX) / scale

    fun toPictureY(y: Float): Float = if (scale == 0f) 0f else (y - offsetY) / scale
}
