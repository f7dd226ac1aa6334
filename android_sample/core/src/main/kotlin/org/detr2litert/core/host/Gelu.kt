package org.detr2litert.core.host

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.exp
import kotlin.math.sqrt
import kotlin.math.tanh

/** GELU: x * Phi(x), or torch's tanh approximation with `approximate = "tanh"`. */
internal object Gelu {
    private val rootOfTwoOverPi = sqrt(2 / PI)

    fun make(call: OpCall): Made = when (val form = call.attributes.text("approximate", "none")) {
        "none" -> Unary.make(call) { x -> (x * 0.5 * (1 + erf(x * sqrt(0.5)))).toFloat() }

        "tanh" -> Unary.make(call) { x ->
            val value = x.toDouble()
            (0.5 * value * (1 + tanh(rootOfTwoOverPi * (value + 0.044715 * value * value * value)))).toFloat()
        }

        else -> call.attributes.fail("has approximate = '$form', not 'none' or 'tanh'")
    }

    /**
     * The error function, to about 1e-12: the Maclaurin series below 3 (Abramowitz and Stegun 7.1.5), the continued fraction
     * of erfc above (7.1.14), and 1 from 6, where erfc is below 3e-17. The standard library has no erf.
     */
    fun erf(x: Double): Double {
        val size = abs(x)
        val value = when {
            size.isNaN() -> return x
            size < SERIES_BELOW -> series(size)
            size < ONE_FROM -> 1 - tail(size)
            else -> 1.0
        }
        return if (x < 0) -value else value
    }

    private fun series(x: Double): Double {
        var term = x
        var sum = x
        var n = 0
        while (abs(term) > 1e-17 * abs(sum)) {
            n++
            term *= -x * x / n
            sum += term / (2 * n + 1)
        }
        return 2 / sqrt(PI) * sum
    }

    private fun tail(x: Double): Double {
        var fraction = x
        for (n in FRACTION_TERMS downTo 1) fraction = x + n / 2.0 / fraction
        return exp(-x * x) / (sqrt(PI) * fraction)
    }

    private const val SERIES_BELOW = 3.0
    private const val ONE_FROM = 6.0
    private const val FRACTION_TERMS = 60
}
