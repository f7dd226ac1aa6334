package org.detr2litert.core.preprocess

import org.detr2litert.core.manifest.PreprocessSpec
import org.detr2litert.core.manifest.Resize

/**
 * Converts a picture to graph A's input: resized, scaled and normalised by the manifest, equal to `host_runtime.preprocess`; or
 * resized only, for a native form that takes pixels.
 *
 * Resizes vertically, then horizontally, in float32 and in the same order of additions, with one row of intermediate values;
 * with [Resize.BILINEAR_8BIT] as [EightBitResize]. Allocates only when the picture's size changes. Not thread-safe.
 */
class Preprocessor(private val spec: PreprocessSpec) {
    private val placement = Placement(spec)
    private val channels = spec.channels
    private lateinit var rows: ResizeFilter
    private lateinit var columns: ResizeFilter
    private val eightBit = if (spec.resize == Resize.BILINEAR_8BIT) EightBitResize(channels) else null
    private var row = FloatArray(0)

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

    /** Number of values that [run] writes: channels x height x width. */
    val size: Int get() = channels * spec.height * spec.width

    /**
     * @param picture upright, any size.
     * @param into [1, channels, height, width], row-major: red, green, blue, or grey.
     */
    fun run(picture: Picture, into: FloatArray) {
        require(into.size == size) { "${into.size} floats for an input of $size" }
        prepare(picture.width, picture.height)
        if (placement.pads) pad(into)
        eightBit?.run(picture)
        for (y in 0 until placement.height) {
            if (eightBit != null) {
                writeResizedRow(eightBit.resized, y, into)
            } else if (channels == 1) {
                resizeGreyRow(picture, y)
                writeGreyRow(y, into)
            } else {
                resizeRow(picture, y)
                writeRow(y, into)
            }
        }
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
        val resizer = checkNotNull(eightBit)
        require(into.size == size) { "${into.size} bytes for an input of $size" }
        prepare(picture.width, picture.height)
        if (placement.pads) pad(into, padding)
        resizer.run(picture)
        val length = placement.width * channels
        for (y in 0 until placement.height) {
            val start = ((placement.top + y) * spec.width + placement.left) * channels
            System.arraycopy(resizer.resized, y * length, into, start, length)
        }
    }

    private fun pad(into: FloatArray) {
        val plane = spec.height * spec.width
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
        if (eightBit != null) {
            eightBit.prepare(width, height, placement.width, placement.height)
            return
        }
        columns = ResizeFilter.of(width, placement.width, spec.resize)
        rows = ResizeFilter.of(height, placement.height, spec.resize)
        if (row.size < channels * width) row = FloatArray(channels * width)
    }

    /** row[3 * x + c] = the weighted sum over the picture's rows. */
    private fun resizeRow(picture: Picture, y: Int) {
        row.fill(0f, 0, 3 * picture.width)
        for (tap in y * rows.taps until (y + 1) * rows.taps) {
            val weight = rows.weights[tap]
            if (weight == 0f) continue
            val start = rows.sources[tap] * picture.width
            for (x in 0 until picture.width) {
                val pixel = picture.pixels[start + x]
                row[3 * x] += ((pixel shr 16) and 0xFF) * weight
                row[3 * x + 1] += ((pixel shr 8) and 0xFF) * weight
                row[3 * x + 2] += (pixel and 0xFF) * weight
            }
        }
    }

    private fun writeRow(y: Int, into: FloatArray) {
        val plane = spec.height * spec.width
        val start = (placement.top + y) * spec.width + placement.left
        for (x in 0 until placement.width) {
            var red = 0f
            var green = 0f
            var blue = 0f
            for (tap in x * columns.taps until (x + 1) * columns.taps) {
                val weight = columns.weights[tap]
                val source = 3 * columns.sources[tap]
                red += row[source] * weight
                green += row[source + 1] * weight
                blue += row[source + 2] * weight
            }
            val pixel = start + x
            into[pixel] = normal(red, 0)
            into[pixel + plane] = normal(green, 1)
            into[pixel + 2 * plane] = normal(blue, 2)
        }
    }

    /** row[x] = the weighted sum over the picture's rows of its grey level. */
    private fun resizeGreyRow(picture: Picture, y: Int) {
        row.fill(0f, 0, picture.width)
        for (tap in y * rows.taps until (y + 1) * rows.taps) {
            val weight = rows.weights[tap]
            if (weight == 0f) continue
            val start = rows.sources[tap] * picture.width
            for (x in 0 until picture.width) row[x] += luma(picture.pixels[start + x]) * weight
        }
    }

    private fun writeGreyRow(y: Int, into: FloatArray) {
        val start = (placement.top + y) * spec.width + placement.left
        for (x in 0 until placement.width) {
            var sum = 0f
            for (tap in x * columns.taps until (x + 1) * columns.taps) sum += row[columns.sources[tap]] * columns.weights[tap]
            into[start + x] = normal(sum, 0)
        }
    }

    private fun writeResizedRow(pixels: ByteArray, y: Int, into: FloatArray) {
        val plane = spec.height * spec.width
        val from = y * placement.width * channels
        val start = (placement.top + y) * spec.width + placement.left
        for (channel in 0 until channels) {
            val normals = normals[channel]
            val to = start + channel * plane
            for (x in 0 until placement.width) into[to + x] = normals[pixels[from + x * channels + channel].toInt() and 0xFF]
        }
    }

    private fun normal(value: Float, channel: Int): Float = (value / divisor - mean[channel]) / std[channel]

    private companion object {
        const val LEVELS = 256
    }
}
