package org.detr2litert.core.preprocess

import org.detr2litert.core.Workers
import org.detr2litert.core.manifest.PreprocessSpec
import org.detr2litert.core.manifest.Resize

/**
 * Converts a picture to graph A's input: resized, scaled and normalised by the manifest, equal to `host_runtime.preprocess`; or
 * resized only, for a native form that takes pixels.
 *
 * Resizes in float32 as [FloatResize]; with [Resize.BILINEAR_8BIT] as [EightBitResize]. The result does not depend on the
 * number of workers. Allocates only when the picture's size changes. Not thread-safe.
 *
 * @param workers among which rows are distributed, not running anything else at that time; closed by the caller. By default
 *   one, without a thread.
 */
class Preprocessor(private val spec: PreprocessSpec, workers: Workers = Workers(1)) {
    private val placement = Placement(spec)
    private val channels = spec.channels
    private val eightBit = if (spec.resize == Resize.BILINEAR_8BIT) EightBitResize(channels, workers) else null
    private val floatResize = if (eightBit == null) FloatResize(spec.resize, channels, workers) else null

    // What [run] writes to, so that no function is made for each picture.
    private var floats = FloatArray(0)
    private var bytes = ByteArray(0)

    // Division by 255, as in to_tensor; multiplying by 1/255 changes the last bit of half of the pixel values.
    private val divisor = (1 / spec.scale).toFloat()
    private val mean = FloatArray(channels) { spec.mean[it].toFloat() }
    private val std = FloatArray(channels) { spec.std[it].toFloat() }

    /** A padding pixel; null if pixels are not whole numbers. */
    private val padding = if (spec.inWholePixels) ByteArray(spec.fill.size) { spec.fill[it].toInt().toByte() } else null

    /** By channel and 8-bit value, what [normal] gives for it: the same floats without two divisions for each. */
    private val normals = Array(if (eightBit == null) 0 else channels) { channel ->
        FloatArray(LEVELS) { normal(it.toFloat(), channel) }
    }

    private val toFloats = FloatResize.Target { y, row ->
        for (channel in 0 until channels) {
            RowLoops.normalise(row[channel], placement.width, divisor, mean[channel], std[channel])
            System.arraycopy(row[channel], 0, floats, place(y) + channel * plane, placement.width)
        }
    }
    private val eightBitToFloats = EightBitResize.Target { y, row ->
        for (channel in 0 until channels) {
            writeNormal(row, 8 * (channels - 1 - channel), normals[channel], floats, place(y) + channel * plane)
        }
    }
    private val eightBitToBytes = EightBitResize.Target { y, row ->
        if (channels == 1) writeGrey(row, bytes, place(y)) else writeColour(row, bytes, 3 * place(y))
    }

    /** Number of values that [run] writes: channels x height x width. */
    val size: Int get() = channels * plane

    private val plane: Int get() = spec.height * spec.width

    /**
     * @param picture upright, any size.
     * @param into [1, channels, height, width], row-major: red, green, blue, or grey.
     */
    fun run(picture: Picture, into: FloatArray) {
        require(into.size == size) { "${into.size} floats for an input of $size" }
        prepare(picture.width, picture.height)
        if (placement.pads) pad(into)
        floats = into
        eightBit?.run(picture, eightBitToFloats)
        floatResize?.run(picture, toFloats)
    }

    /**
     * Writes the resized picture itself, of whose values the other [run] makes its floats.
     *
     * @param picture upright, any size.
     * @param into [1, height, width, channels], row-major, from 0 to 255: red, green, blue, or grey.
     * @throws IllegalStateException if the pixels are not whole numbers, see [PreprocessSpec.inWholePixels].
     */
    fun run(picture: Picture, into: ByteArray) {
        val padding = checkNotNull(padding) { "the resized picture is not of whole numbers" }
        require(into.size == size) { "${into.size} bytes for an input of $size" }
        prepare(picture.width, picture.height)
        if (placement.pads) pad(into, padding)
        bytes = into
        checkNotNull(eightBit).run(picture, eightBitToBytes)
    }

    private fun pad(into: FloatArray) {
        for (channel in 0 until channels) {
            into.fill(normal(spec.fill[channel].toFloat(), channel), channel * plane, (channel + 1) * plane)
        }
    }

    private fun pad(into: ByteArray, pixel: ByteArray) {
        val length = spec.width * channels
        for (index in 0 until length) into[index] = pixel[index % channels]
        for (y in 1 until spec.height) System.arraycopy(into, 0, into, y * length, length)
    }

    private fun prepare(width: Int, height: Int) {
        if (!placement.place(width, height)) return
        eightBit?.prepare(width, height, placement.width, placement.height)
        floatResize?.prepare(width, height, placement.width, placement.height)
    }

    /** The index of the pixel of the input at which row [y] of the resized picture starts. */
    private fun place(y: Int): Int = (placement.top + y) * spec.width + placement.left

    private fun writeNormal(row: IntArray, shift: Int, normals: FloatArray, into: FloatArray, start: Int) {
        for (x in 0 until placement.width) into[start + x] = normals[(row[x] shr shift) and 0xFF]
    }

    private fun writeColour(row: IntArray, into: ByteArray, start: Int) {
        for (x in 0 until placement.width) {
            val pixel = row[x]
            into[start + 3 * x] = (pixel shr 16).toByte()
            into[start + 3 * x + 1] = (pixel shr 8).toByte()
            into[start + 3 * x + 2] = pixel.toByte()
        }
    }

    private fun writeGrey(row: IntArray, into: ByteArray, start: Int) {
        for (x in 0 until placement.width) into[start + x] = row[x].toByte()
    }

    private fun normal(value: Float, channel: Int): Float = (value / divisor - mean[channel]) / std[channel]

    private companion object {
        const val LEVELS = 256
    }
}
