package org.detr2litert.detector

import android.media.Image
import org.detr2litert.core.preprocess.YuvPlanes

/** This YUV_420_888 camera image as the converter's planes: views of its own buffers, good until it is closed. */
fun Image.yuvPlanes(): YuvPlanes {
    val (y, u, v) = planes
    return YuvPlanes(
        width,
        height,
        y.buffer,
        y.rowStride,
        u.buffer,
        v.buffer,
        u.rowStride,
        u.pixelStride,
    )
}
