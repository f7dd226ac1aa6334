package org.detr2litert.sample.camera

import android.media.Image
import org.detr2litert.core.preprocess.YuvPlanes

/** Android's camera images as the converter's planes. */
internal object YuvImages {
    /** Views of [image]'s own buffers, good until it is closed. */
    fun planes(image: Image): YuvPlanes {
        val (y, u, v) = image.planes
        return YuvPlanes(
            image.width,
            image.height,
            y.buffer,
            y.rowStride,
            u.buffer,
            v.buffer,
            u.rowStride,
            u.pixelStride,
        )
    }
}
