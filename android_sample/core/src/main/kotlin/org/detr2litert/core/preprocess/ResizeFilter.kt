package org.detr2litert.core.preprocess

import org.detr2litert.core.manifest.Resize

/**
 * The filter weights of a one-dimensional resize in float32: out[i] = sum over t of weights[t][i] * in[sources[t][i]].
 *
 * Equal to `host_runtime.preprocess` and to torch. The mixture of float32 and float64 is that of torch's C++ kernels: at
 * column 600 the rounding of a centre changes a weight by 3e-5.
 */
internal class ResizeFilter private constructor(val sources: Array<IntArray>, val weights: Array<FloatArray>) {
    companion object {
        /** The filter from [old] to [new] elements; equal lengths copy. */
        fun of(old: Int, new: Int, resize: Resize): ResizeFilter = when {
            old == new -> ResizeFilter(arrayOf(IntArray(new) { it }), arrayOf(FloatArray(new) { 1f }))
            resize == Resize.BILINEAR -> bilinear(old, new)
            else -> antialiased(old, new)
        }

        /**
         * Antialiased: a triangle filter as wide as the scale. Source: ATen/native/cpu/UpSampleKernel.cpp,
         * `_compute_indices_min_size_weights_aa`.
         */
        private fun antialiased(old: Int, new: Int): ResizeFilter {
            val scale = old.toFloat() / new.toFloat()
            val support = maxOf(scale, 1f)
            val inverse = 1f / support
            val centres = FloatArray(new) { (scale.toDouble() * (it + 0.5)).toFloat() }
            val first = IntArray(new) { maxOf(((centres[it] - support).toDouble() + 0.5).toInt(), 0) }
            val last = IntArray(new) { minOf(((centres[it] + support).toDouble() + 0.5).toInt(), old) }
            val taps = (0 until new).maxOf { last[it] - first[it] }
            val sources = Array(taps) { IntArray(new) }
            val weights = Array(taps) { FloatArray(new) }
            for (out in 0 until new) {
                var sum = 0f
                for (tap in 0 until taps) {
                    val source = first[out] + tap
                    val distance = (source.toFloat() - centres[out]).toDouble() + 0.5
                    val near = 1f - Math.abs((distance * inverse).toFloat())
                    val weight = if (source < last[out]) maxOf(near, 0f) else 0f
                    sources[tap][out] = minOf(source, old - 1)
                    weights[tap][out] = weight
                    sum += weight
                }
                for (tap in 0 until taps) weights[tap][out] /= sum
            }
            return ResizeFilter(sources, weights)
        }

        /**
         * Bilinear interpolation at half-pixel centres, clamped at the edges. Source: ATen/native/UpSample.h,
         * `area_pixel_compute_source_index` with align_corners=False.
         */
        private fun bilinear(old: Int, new: Int): ResizeFilter {
            val scale = old.toFloat() / new.toFloat()
            val sources = Array(2) { IntArray(new) }
            val weights = Array(2) { FloatArray(new) }
            for (out in 0 until new) {
                val at = maxOf((scale.toDouble() * (out + 0.5) - 0.5).toFloat(), 0f)
                val low = minOf(at.toInt(), old - 1)
                val upper = (at - low.toFloat()).coerceIn(0f, 1f)
                sources[0][out] = low
                sources[1][out] = minOf(low + 1, old - 1)
                weights[0][out] = 1f - upper
                weights[1][out] = upper
            }
            return ResizeFilter(sources, weights)
        }
    }
}
