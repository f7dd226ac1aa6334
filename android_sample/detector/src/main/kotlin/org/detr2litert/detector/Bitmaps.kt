package org.detr2litert.detector

import android.graphics.Bitmap
import org.detr2litert.core.preprocess.Picture

/**
 * Copies this bitmap's pixels to [into], which is resized.
 *
 * A bitmap of another config than ARGB_8888 is converted first: pixels in GPU memory (Config.HARDWARE, ImageDecoder's default)
 * cannot be read directly.
 *
 * @throws IllegalArgumentException if Android cannot convert it.
 */
fun Bitmap.copyPixels(into: Picture) {
    val readable = if (config == Bitmap.Config.ARGB_8888) this else copy(Bitmap.Config.ARGB_8888, false)
    requireNotNull(readable) { "a bitmap of config $config cannot be read" }
    into.resize(readable.width, readable.height)
    readable.getPixels(into.pixels, 0, readable.width, 0, 0, readable.width, readable.height)
    if (readable !== this) readable.recycle()
}
