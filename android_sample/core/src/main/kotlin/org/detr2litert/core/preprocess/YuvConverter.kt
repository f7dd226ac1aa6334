package org.detr2litert.core.preprocess

import java.nio.Buffer
import java.nio.ByteBuffer

/** The planes of a YUV 4:2:0 camera frame; the chroma planes have half the width and height. */
class YuvPlanes(
    val width: Int,
    val height: Int,
    val y: ByteBuffer,
    val yRowStride: Int,
    val u: ByteBuffer,
    val v: ByteBuffer,
    val chromaRowStride: Int,
    val chromaPixelStride: Int,
)

/**
 * Converts camera frames to upright [Picture]s: colour conversion and rotation in one pass over the pixels.
 *
 * Colours: BT.601, full range, as in Android's YUV_420_888 from a camera (ImageFormat's documentation: the JFIF conversion),
 * in 16.16 fixed point, within one step of the real-valued formula. Each row is copied from the buffers in one call.
 * Allocates only when the frame's size changes. Not thread-safe.
 */
class YuvConverter {
    private var luma = ByteArray(0)
    private var blue = ByteArray(0)
    private var red = ByteArray(0)

    /** @param into resized to the upright frame. */
    fun convert(frame: YuvPlanes, rotation: Rotation, into: Picture) {
        val width = frame.width
        val height = frame.height
        if (rotation.swapsSides) into.resize(height, width) else into.resize(width, height)
        if (luma.size < width) luma = ByteArray(width)
        // The last row of a plane may end at its last pixel, short of its stride or pixel stride.
        val chromaLength = ((width + 1) / 2 - 1) * frame.chromaPixelStride + 1
        if (blue.size < chromaLength) {
            blue = ByteArray(chromaLength)
            red = ByteArray(chromaLength)
        }
        // The frame's pixel (x, y) is written to origin + x * stepX + y * stepY.
        val origin = when (rotation) {
            Rotation.NONE -> 0
            Rotation.RIGHT -> height - 1
            Rotation.HALF -> width * height - 1
            Rotation.LEFT -> (width - 1) * height
        }
        val stepX = when (rotation) {
            Rotation.NONE -> 1
            Rotation.RIGHT -> height
            Rotation.HALF -> -1
            Rotation.LEFT -> -height
        }
        val stepY = when (rotation) {
            Rotation.NONE -> width
            Rotation.RIGHT -> -1
            Rotation.HALF -> -width
            Rotation.LEFT -> 1
        }
        for (y in 0 until height) {
            copyRow(frame.y, y * frame.yRowStride, luma, width)
            if (y % 2 == 0) {
                copyRow(frame.u, y / 2 * frame.chromaRowStride, blue, chromaLength)
                copyRow(frame.v, y / 2 * frame.chromaRowStride, red, chromaLength)
            }
            var to = origin + y * stepY
            for (x in 0 until width) {
                val chroma = x / 2 * frame.chromaPixelStride
                into.pixels[to] = argb(
                    luma[x].toInt() and 0xFF,
                    (blue[chroma].toInt() and 0xFF) - 128,
                    (red[chroma].toInt() and 0xFF) - 128,
                )
                to += stepX
            }
        }
    }

    private fun copyRow(from: ByteBuffer, at: Int, to: ByteArray, length: Int) {
        // As a Buffer, because ByteBuffer.position's return type differs between old and new runtimes.
        (from as Buffer).position(at)
        from.get(to, 0, length)
    }

    /** R = Y + 1.402 V, G = Y - 0.344136 U - 0.714136 V, B = Y + 1.772 U. */
    private fun argb(y: Int, u: Int, v: Int): Int {
        val base = (y shl 16) + (1 shl 15)
        val red = clamp((base + 91881 * v) shr 16)
        val green = clamp((base - 22554 * u - 46802 * v) shr 16)
        val blue = clamp((base + 116130 * u) shr 16)
        return OPAQUE or (red shl 16) or (green shl 8) or blue
    }

    private fun clamp(value: Int): Int = if (value < 0) {
        0
    } else if (value > 255) {
        255
    } else {
        value
    }

    private companion object {
        const val OPAQUE = 0xFF shl 24
    }
}
