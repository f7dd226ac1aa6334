package org.detr2litert.core.preprocess

/** Grey level of a pixel: ITU-R 601 luma in 16.16 fixed point, as Pillow's convert("L"). */
internal fun luma(pixel: Int): Int =
    (((pixel shr 16) and 0xFF) * 19595 + ((pixel shr 8) and 0xFF) * 38470 + (pixel and 0xFF) * 7471 + 0x8000) shr 16

/**
 * An upright picture of 8-bit RGB: [pixels] [height, width] row-major as 0xAARRGGBB (alpha is ignored), as Android's
 * Bitmap.getPixels writes it. The array may be longer than the picture, so that it can be reused.
 */
class Picture(var width: Int, var height: Int, var pixels: IntArray) {
    constructor(width: Int, height: Int) : this(width, height, IntArray(width * height))

    /** Changes the size; allocates only if the picture has never been as large. */
    fun resize(newWidth: Int, newHeight: Int) {
        require(newWidth > 0 && newHeight > 0) { "a picture of $newWidth x $newHeight" }
        if (pixels.size < newWidth * newHeight) pixels = IntArray(newWidth * newHeight)
        width = newWidth
        height = newHeight
    }
}
