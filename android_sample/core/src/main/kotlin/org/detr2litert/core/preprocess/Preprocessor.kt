package org.detr2litert.core.preprocess

import org.detr2litert.core.manifest.PreprocessSpec

/**
 * Converts a picture to graph A's input: resized, scaled and normalised by the manifest, equal to `host_runtime.preprocess`.
 *
 * Resizes vertically, then horizontally, in float32 and in the same order of additions, with one row of intermediate values.
 * Allocates only when the picture's size changes. Not thread-safe.
 */
class Preprocessor(private val spec: PreprocessSpec) {
    private var oldWidth = 0
    private var oldHeight = 0
    private lateinit var rows: ResizeFilter
    private lateinit var columns: ResizeFilter
    private var row = FloatArray(0)

    // Division by 255, as in to_tensor; multiplying by 1/255 changes the last bit of half of the pixel values.
    private val divisor = (1 / spec.scale).toFloat()
    private val mean = FloatArray(3) { spec.mean[it].toFloat() }
    private val std = FloatArray(3) { spec.std[it].toFloat() }

    /** Number of floats that [run] writes: 3 x height x width. */
    val size: Int get() = 3 * spec.height * spec.width

    /**
     * @param picture upright, any size.
     * @param into [1, 3, height, width], row-major, red, green, blue.
     */
    fun run(picture: Picture, into: FloatArray) {
        require(into.size == size) { "${into.size} floats for an input of $size" }
        prepare(picture.width, picture.height)
        for (y in 0 until spec.height) {
            resizeRow(picture, y)
            writeRow(y, into)
        }
    }

    private fun prepare(width: Int, height: Int) {
        if (width == oldWidth && height == oldHeight) return
        columns = ResizeFilter.of(width, spec.width, spec.resize)
        rows = ResizeFilter.of(height, spec.height, spec.resize)
        if (row.size < 3 * width) row = FloatArray(3 * width)
        oldWidth = width
        oldHeight = height
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
        for (x in 0 until spec.width) {
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
            val pixel = y * spec.width + x
            into[pixel] = normal(red, 0)
            into[pixel + plane] = normal(green, 1)
            into[pixel + 2 * plane] = normal(blue, 2)
        }
    }

    private fun normal(value: Float, channel: Int): Float = (value / divisor - mean[channel]) / std[channel]
}
