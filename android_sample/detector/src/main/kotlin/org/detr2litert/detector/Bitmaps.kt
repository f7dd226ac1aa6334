package org.detr2litert.detector

import android.graphics.Bitmap
import org.detr2litert.core.preprocess.Picture

/**
 * Copies this bitmap's pixels into [into], which takes its size.
 *
 * Pixels that only the GPU holds (Config.HARDWARE, what ImageDecoder gives by default) cannot be read in place: a bitmap of
 * any other kind than ARGB_8888 goes through a copy of that kind.
 *
 * @throws IllegalArgumentException if Android cannot copy it.
 */
fun Bitmap.copyPixels(into: Picture) {
    val readable = if (config == Bitmap.Config.ARGB_8888) this else copy(Bitmap.Config.ARGB_8888, false)
    requireNotNull(readable) { "a bitmap of the kind $config cannot be read" }
    into.resize(readable.width, readable.height)
    readable.getPixels(into.pixels, 0, readable.width, 0, 0, readable.width, readable.height)
    if (readable !== this) readable.recycle()
}
