package org.detr2litert.detector

import android.media.Image
import org.detr2litert.core.preprocess.YuvPlanes

/** The planes of this YUV_420_888 camera image: views of its buffers, valid until it is closed. */
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
