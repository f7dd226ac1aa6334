package org.detr2litert.core.host

import org.detr2litert.core.tensor.FloatTensor
import kotlin.math.sqrt

/** Layer norm: (x - mean) / sqrt(variance + eps) * weight + bias over the last axis; population variance, sums in double. */
internal object LayerNorm {
    fun make(call: OpCall): Made {
        val x = call.float(0)
        val width = x.shape.last()
        val weight = call.floatOrNull(1)
        val bias = call.floatOrNull(2)
        val eps = call.attributes.number("eps")
        val y = FloatTensor(x.shape)
        return Made(y) {
            for (start in 0 until x.size step width) {
                var sum = 0.0
                for (index in start until start + width) sum += x.data[index]
                val mean = sum / width
                var squares = 0.0
                for (index in start until start + width) {
                    val centred = x.data[index] - mean
                    squares += centred * centred
                }
                val scale = 1 / sqrt(squares / width + eps)
                for (index in 0 until width) {
                    var value = ((x.data[start + index] - mean) * scale).toFloat()
                    if (weight != null) value *= weight.data[index]
                    if (bias != null) value += bias.data[index]
                    y.data[start + index] = value
                }
            }
        }
    }
}
