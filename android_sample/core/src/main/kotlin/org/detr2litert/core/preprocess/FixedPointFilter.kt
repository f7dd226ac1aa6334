package org.detr2litert.core.preprocess

import kotlin.math.abs
import kotlin.math.ceil

/**
 * Weights of a one-dimensional resize in fixed point: out[i] = sum over t of weights[t][i] * in[sources[t][i]], in units of
 * 2^-[PRECISION]. Weights of 0 are at the end.
 */
internal class FixedPointFilter private constructor(val sources: Array<IntArray>, val weights: Array<IntArray>) {
    /** Number of results. */
    val size: Int get() = sources[0].size

    companion object {
        /** Pillow's PRECISION_BITS: 32 - 8 - 2. */
        const val PRECISION = 22

        /**
         * The filter from [old] to [new] elements: a triangle as wide as the scale. For equal lengths values are copied. Source:
         * src/libImaging/Resample.c (`precompute_coeffs`, `normalize_coeffs_8bpc`).
         */
        fun of(old: Int, new: Int): FixedPointFilter {
            val scale = old.toDouble() / new
            val support = maxOf(scale, 1.0)
            val inverse = 1 / support
            val near = DoubleArray(ceil(support).toInt() * 2 + 1)
            val sources = Array(near.size) { IntArray(new) }
            val weights = Array(near.size) { IntArray(new) }
            var taps = 0
            for (out in 0 until new) {
                val centre = (out + 0.5) * scale
                val first = maxOf((centre - support + 0.5).toInt(), 0)
                val count = minOf((centre + support + 0.5).toInt(), old) - first
                var sum = 0.0
                for (tap in 0 until count) {
                    near[tap] = maxOf(1 - abs((tap + first - centre + 0.5) * inverse), 0.0)
                    sum += near[tap]
                }
                var used = 0
                for (tap in 0 until count) {
                    val weight = (0.5 + near[tap] / sum * (1 shl PRECISION)).toInt()
                    if (weight == 0) continue
                    sources[used][out] = first + tap
                    weights[used++][out] = weight
                }
                taps = maxOf(taps, used)
            }
            return FixedPointFilter(sources.copyOf(taps).requireNoNulls(), weights.copyOf(taps).requireNoNulls())
        }
    }
}
