package org.detr2litert.core.host

import org.detr2litert.core.tensor.Tensor

/**
 * Ops that only copy blocks of elements: slice, concat, reshape. A tensor is viewed as [outer, extent of the axis, inner], so
 * that every block is one System.arraycopy.
 */
internal object Moving {
    fun outer(shape: List<Int>, axis: Int): Int = shape.take(axis).fold(1) { product, extent -> product * extent }

    fun inner(shape: List<Int>, axis: Int): Int = shape.drop(axis + 1).fold(1) { product, extent -> product * extent }

    fun replaced(shape: List<Int>, axis: Int, extent: Int): List<Int> =
        shape.mapIndexed { index, old -> if (index == axis) extent else old }

    /** x[start:end] along an axis, with Python's rules for negative and too large bounds. */
    fun slice(call: OpCall): Made {
        val x = call.inputs[0]
        val axis = call.attributes.axis(x.rank)
        val extent = x.shape[axis]
        val start = bound(call.attributes.whole("start"), extent)
        val length = bound(call.attributes.whole("end"), extent) - start
        if (length <= 0) call.fail("gives an empty slice of $x")
        val y = x.like(replaced(x.shape, axis, length))
        val inner = inner(x.shape, axis)
        val outer = outer(x.shape, axis)
        return Made(y) {
            for (row in 0 until outer) {
                System.arraycopy(x.storage, (row * extent + start) * inner, y.storage, row * length * inner, length * inner)
            }
        }
    }

    fun concat(call: OpCall): Made {
        val first = call.inputs[0]
        val axis = call.attributes.axis(first.rank)
        for (other in call.inputs) {
            val fits = replaced(other.shape, axis, 0) == replaced(first.shape, axis, 0)
            if (!fits) call.fail("cannot join $first and $other along axis $axis")
        }
        val total = call.inputs.sumOf { it.shape[axis].toLong() }
        if (total > HostLimits.MAX_ELEMENTS) call.fail("gives an extent of $total")
        val y = first.like(call.shaped(replaced(first.shape, axis, total.toInt())))
        val outer = outer(first.shape, axis)
        val inner = inner(first.shape, axis)
        val rowLength = y.shape[axis] * inner
        val sources = call.inputs.toTypedArray<Tensor>()
        val lengths = IntArray(sources.size) { sources[it].shape[axis] * inner }
        return Made(y) {
            for (row in 0 until outer) {
                var at = row * rowLength
                for (index in sources.indices) {
                    System.arraycopy(sources[index].storage, row * lengths[index], y.storage, at, lengths[index])
                    at += lengths[index]
                }
            }
        }
    }

    /** Row-major reshape as a view of the same memory. One extent may be -1. */
    fun reshape(call: OpCall): Made {
        val x = call.inputs[0]
        val requested = call.attributes.wholes("shape")
        val known = OpCall.elements(requested.filter { it != -1 })
        val open = requested.count { it == -1 }
        if (open > 1 || known == 0L || x.size % known != 0L || (open == 0 && known != x.size.toLong())) {
            call.fail("cannot reshape $x to $requested")
        }
        return Made(x.view(call.shaped(requested.map { if (it == -1) (x.size / known).toInt() else it })), null)
    }

    private fun bound(value: Int, extent: Int): Int = (if (value < 0) value + extent else value).coerceIn(0, extent)
}
