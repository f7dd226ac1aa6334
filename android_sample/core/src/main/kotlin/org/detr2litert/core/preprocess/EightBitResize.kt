package org.detr2litert.core.preprocess

import kotlin.math.abs
import kotlin.math.ceil

/**
 * Resizes a picture as Pillow 13 resizes 8-bit ones, bit for bit: antialiased, each direction rounded to 8 bits, the rows first
 * where the height shrinks by more than twice what the width does.
 *
 * Source: src/libImaging/Resample.c (`precompute_coeffs`, `normalize_coeffs_8bpc`, `ImagingResampleInner`). A sum of 255 times
 * all weights of a pixel is below 2^31. Allocates only when a size changes. Not thread-safe.
 *
 * @param channels 3 for RGB, 1 for grey.
 */
internal class EightBitResize(private val channels: Int) {
    private lateinit var across: FixedPointFilter
    private lateinit var down: FixedPointFilter
    private var rowsFirst = false
    private var pixels = ByteArray(0)
    private var once = ByteArray(0)
    private var sums = IntArray(0)

    /** The picture in its new size: height x width x channels. */
    var resized = ByteArray(0)
        private set

    /** Chooses the sizes: from [width] x [height] to [newWidth] x [newHeight] pixels. */
    fun prepare(width: Int, height: Int, newWidth: Int, newHeight: Int) {
        across = FixedPointFilter.of(width, newWidth)
        down = FixedPointFilter.of(height, newHeight)
        val fewer = height - newHeight
        rowsFirst = fewer > 0 && fewer > 2 * (width - newWidth)
        pixels = pixels.atLeast(height * width * channels)
        once = once.atLeast((if (rowsFirst) newHeight * width else height * newWidth) * channels)
        resized = resized.atLeast(newHeight * newWidth * channels)
        val widest = if (rowsFirst) width else newWidth
        if (sums.size < widest * channels) sums = IntArray(widest * channels)
    }

    /** Resizes [picture], which has the old size, to [resized]. */
    fun run(picture: Picture) {
        unpack(picture)
        if (rowsFirst) {
            resizeRows(pixels, picture.width, once)
            resizeColumns(once, down.size, picture.width, resized)
        } else {
            resizeColumns(pixels, picture.height, picture.width, once)
            resizeRows(once, across.size, resized)
        }
    }

    private fun unpack(picture: Picture) {
        for (index in 0 until picture.width * picture.height) {
            val pixel = picture.pixels[index]
            if (channels == 1) {
                pixels[index] = luma(pixel).toByte()
            } else {
                pixels[3 * index] = (pixel shr 16).toByte()
                pixels[3 * index + 1] = (pixel shr 8).toByte()
                pixels[3 * index + 2] = pixel.toByte()
            }
        }
    }

    private fun resizeColumns(from: ByteArray, height: Int, width: Int, to: ByteArray) {
        var out = 0
        for (y in 0 until height) {
            for (x in 0 until across.size) {
                val start = (y * width + across.first[x]) * channels
                for (channel in 0 until channels) {
                    var sum = HALF
                    for (tap in 0 until across.counts[x]) {
                        val value = from[start + tap * channels + channel].toInt() and 0xFF
                        sum += value * across.weights[x * across.taps + tap]
                    }
                    to[out++] = rounded(sum)
                }
            }
        }
    }

    private fun resizeRows(from: ByteArray, width: Int, to: ByteArray) {
        val count = width * channels
        for (y in 0 until down.size) {
            sums.fill(HALF, 0, count)
            for (tap in 0 until down.counts[y]) {
                val weight = down.weights[y * down.taps + tap]
                val start = (down.first[y] + tap) * count
                for (index in 0 until count) sums[index] += (from[start + index].toInt() and 0xFF) * weight
            }
            for (index in 0 until count) to[y * count + index] = rounded(sums[index])
        }
    }

    private fun rounded(sum: Int): Byte = minOf(sum shr FixedPointFilter.PRECISION, 255).toByte()

    private fun ByteArray.atLeast(length: Int): ByteArray = if (size < length) ByteArray(length) else this

    private companion object {
        const val HALF = 1 shl (FixedPointFilter.PRECISION - 1)
    }
}

/**
 * Weights of a one-dimensional resize in fixed point: out[i] = sum over t below counts[i] of weights[i * taps + t] *
 * in[first[i] + t], in units of 2^-[PRECISION].
 */
internal class FixedPointFilter private constructor(
    val taps: Int,
    val first: IntArray,
    val counts: IntArray,
    val weights: IntArray,
) {
    /** Number of results. */
    val size: Int get() = first.size

    companion object {
        /** Pillow's PRECISION_BITS: 32 - 8 - 2. */
        const val PRECISION = 22

        /**
         * The filter from [old] to [new] elements: a triangle as wide as the scale. For equal lengths one weight is 1 and its
         * neighbour's 0, so that values are copied.
         */
        fun of(old: Int, new: Int): FixedPointFilter {
            val scale = old.toDouble() / new
            val support = maxOf(scale, 1.0)
            val inverse = 1 / support
            val taps = ceil(support).toInt() * 2 + 1
            val centres = DoubleArray(new) { (it + 0.5) * scale }
            val first = IntArray(new) { maxOf((centres[it] - support + 0.5).toInt(), 0) }
            val counts = IntArray(new) { minOf((centres[it] + support + 0.5).toInt(), old) - first[it] }
            val weights = IntArray(new * taps)
            val near = DoubleArray(taps)
            for (out in 0 until new) {
                var sum = 0.0
                for (tap in 0 until counts[out]) {
                    near[tap] = maxOf(1 - abs((tap + first[out] - centres[out] + 0.5) * inverse), 0.0)
                    sum += near[tap]
                }
                for (tap in 0 until counts[out]) {
                    weights[out * taps + tap] = (0.5 + near[tap] / sum * (1 shl PRECISION)).toInt()
                }
            }
            return FixedPointFilter(taps, first, counts, weights)
        }
    }
}
