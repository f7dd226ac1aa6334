package org.detr2litert.core.decode

import org.detr2litert.core.manifest.KeypointsSpec
import kotlin.math.abs
import kotlin.math.exp
import kotlin.math.ln

/**
 * Decodes the last graph's keypoints [1, Q, K, 7], equal to `host_runtime.keypoints`, as rfdetr 1.11.2 does
 * (`models/postprocess.py`, `utilities/keypoints.py`).
 *
 * The seven values of a point: x and y as fractions of the input; the logits of being findable and visible; log l11, l21 and
 * log l22, where L = [[l11, 0], [l21, l22]] is the Cholesky factor of the precision, the inverse of the covariance, in fractions of
 * the input. Computed in double. Not thread-safe.
 *
 * @param classes C, of which not all need keypoints.
 */
class KeypointDecoder(private val spec: KeypointsSpec, classes: Int) {
    private val first = IntArray(classes)
    private val counts = IntArray(classes)
    private val isListed = BooleanArray(classes)
    private val slots = spec.count

    init {
        var slot = 0
        for (of in spec.classes) {
            first[of.classIndex] = slot
            counts[of.classIndex] = of.names.size
            isListed[of.classIndex] = true
            slot += of.names.size
        }
    }

    /** Whether [score] changes scores. */
    val changesScores: Boolean get() = spec.scoreWeight > 0

    /**
     * The score of an object that takes the uncertainty of its keypoints into account: sigmoid(ln(score) - weight * t), below 1;
     * t is the logarithm of the mean trace of their covariances, weighted by how findable each is, and 0 for a class that is in the
     * manifest's list without keypoints. Of a class that is not, the same [score].
     *
     * @param values [1, Q, K, 7].
     * @param query of the object, whose class is [classIndex].
     */
    fun score(score: Float, values: FloatArray, query: Int, classIndex: Int): Float {
        if (!changesScores || !isListed[classIndex]) return score
        val changed = sigmoid(ln(score.toDouble()) - spec.scoreWeight * logMeanTrace(values, query, classIndex))
        return minOf(changed.toFloat(), BELOW_ONE)
    }

    /** The keypoints of an object; null of a class that has none. The scales and offsets are those of a [Placement]. */
    fun decode(
        values: FloatArray,
        query: Int,
        classIndex: Int,
        scaleX: Float,
        scaleY: Float,
        offsetX: Float,
        offsetY: Float,
    ): Keypoints? {
        val count = counts[classIndex]
        if (count == 0) return null
        val found = FloatArray(Keypoints.STRIDE * count)
        for (index in 0 until count) {
            val from = at(query, classIndex, index)
            val into = Keypoints.STRIDE * index
            found[into] = (values[from + X] * scaleX + offsetX).coerceIn(-FARTHEST, FARTHEST)
            found[into + 1] = (values[from + Y] * scaleY + offsetY).coerceIn(-FARTHEST, FARTHEST)
            found[into + 2] = sigmoid(values[from + FINDABLE].toDouble()).toFloat()
            covariance(values, from, scaleX.toDouble(), scaleY.toDouble(), found, into + 3)
        }
        return Keypoints(found)
    }

    /** Writes the three entries of the inverse of L Lᵀ, scaled to pixels; NaN, all three, where one is beyond float32. */
    private fun covariance(values: FloatArray, from: Int, scaleX: Double, scaleY: Double, into: FloatArray, at: Int) {
        val one = values[from + LOG_L11].toDouble()
        val two = values[from + LOG_L22].toDouble()
        val l21 = values[from + L21].toDouble()
        val mixed = l21 * exp(-one - two)
        into[at] = (scaleX * scaleX * (exp(-2 * one) + mixed * mixed)).toFloat()
        // Adding 0 makes -0 to 0.
        into[at + 1] = (scaleX * scaleY * (-l21 * exp(-one - 2 * two)) + 0.0).toFloat()
        into[at + 2] = (scaleY * scaleY * exp(-2 * two)).toFloat()
        if (!(into[at].toDouble() + into[at + 1] + into[at + 2]).isFinite()) into.fill(Float.NaN, at, at + 3)
    }

    private fun logMeanTrace(values: FloatArray, query: Int, classIndex: Int): Double {
        if (counts[classIndex] == 0) return 0.0
        var most = Double.NEGATIVE_INFINITY
        var mostWeight = Double.NEGATIVE_INFINITY
        for (index in 0 until counts[classIndex]) {
            val from = at(query, classIndex, index)
            most = maxOf(most, logTrace(values, from) + logWeight(values, from))
            mostWeight = maxOf(mostWeight, logWeight(values, from))
        }
        var sum = 0.0
        var weights = 0.0
        for (index in 0 until counts[classIndex]) {
            val from = at(query, classIndex, index)
            sum += exp(logTrace(values, from) + logWeight(values, from) - most)
            weights += exp(logWeight(values, from) - mostWeight)
        }
        return most + ln(sum) - (mostWeight + ln(weights))
    }

    /** ln of the trace of the covariance, which is 1 / l11² + 1 / l22² + l21² / (l11² l22²). */
    private fun logTrace(values: FloatArray, from: Int): Double {
        val one = -2.0 * values[from + LOG_L11]
        val two = -2.0 * values[from + LOG_L22]
        val three = 2.0 * ln(maxOf(abs(values[from + L21].toDouble()), LEAST)) + one + two
        val most = maxOf(one, two, three)
        return most + ln(exp(one - most) + exp(two - most) + exp(three - most))
    }

    private fun logWeight(values: FloatArray, from: Int): Double = ln(maxOf(sigmoid(values[from + FINDABLE].toDouble()), LEAST))

    private fun at(query: Int, classIndex: Int, index: Int) = (query * slots + first[classIndex] + index) * VALUES

    private fun sigmoid(x: Double) = 1 / (1 + exp(-x))

    internal companion object {
        /** Of a point in the output. */
        const val VALUES = 7
        private const val X = 0
        private const val Y = 1
        private const val FINDABLE = 2
        private const val LOG_L11 = 4
        private const val L21 = 5
        private const val LOG_L22 = 6

        /** Of weights and of |l21|, whose logarithms are taken. */
        private const val LEAST = 1e-12

        /** Pixels: no picture is as large, and JSON can hold it. */
        private const val FARTHEST = 1e9f

        /** The largest float32 below 1. */
        private const val BELOW_ONE = 0.99999994f
    }
}
