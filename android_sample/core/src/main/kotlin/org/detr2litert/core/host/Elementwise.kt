package org.detr2litert.core.host

import org.detr2litert.core.tensor.FloatTensor

internal fun interface FloatFunction {
    fun of(x: Float): Float
}

internal fun interface FloatFunction2 {
    fun of(x: Float, y: Float): Float
}

/** y = f(x) for every element. */
internal object Unary {
    fun make(call: OpCall, function: FloatFunction): Made {
        val x = call.float(0)
        val y = FloatTensor(x.shape)
        return Made(y) { for (index in y.data.indices) y.data[index] = function.of(x.data[index]) }
    }
}

/** z = f(x, y) with NumPy's broadcasting. */
internal object Binary {
    fun make(call: OpCall, function: FloatFunction2): Made {
        val x = call.float(0)
        val y = call.float(1)
        val z = FloatTensor(call.shape)
        val left = Broadcast.indices(x.shape, z.shape)
        val right = Broadcast.indices(y.shape, z.shape)
        return Made(z) {
            for (index in z.data.indices) z.data[index] = function.of(x.data[left[index]], y.data[right[index]])
        }
    }
}

/** NumPy's broadcasting as precomputed index maps from output to input elements. */
internal object Broadcast {
    /** For each element of a tensor of shape [to], row-major, the index of its source in a tensor of shape [from]. */
    fun indices(from: List<Int>, to: List<Int>): IntArray {
        val strides = IntArray(to.size)
        var stride = 1
        for (axis in from.indices.reversed()) {
            if (from[axis] != 1) strides[axis + to.size - from.size] = stride
            stride *= from[axis]
        }
        val position = IntArray(to.size)
        return IntArray(to.fold(1) { product, extent -> product * extent }) {
            var source = 0
            for (axis in to.indices) source += position[axis] * strides[axis]
            for (axis in to.indices.reversed()) {
                if (++position[axis] < to[axis]) break
                position[axis] = 0
            }
            source
        }
    }
}
