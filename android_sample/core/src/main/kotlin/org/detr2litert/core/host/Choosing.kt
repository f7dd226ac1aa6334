package org.detr2litert.core.host

import org.detr2litert.core.tensor.DType
import org.detr2litert.core.tensor.FloatTensor
import org.detr2litert.core.tensor.IntTensor

/** Ops that pick one of several values: [where] by a mask, [reduceMax] by size. */
internal object Choosing {
    /** x where the mask is true (or not 0), else y, with broadcasting. */
    fun where(call: OpCall): Made {
        val (mask, x, y) = call.inputs
        if (x.dtype != y.dtype) call.fail("cannot choose between $x and $y")
        val shape = Broadcast.shape(call, call.inputs)
        val (asked, left, right) = call.inputs.map { Broadcast.indices(it.shape, shape) }
        val z = x.like(shape)
        val chosen = BooleanArray(z.size)
        return Made(z) {
            when (mask) {
                is FloatTensor -> for (index in chosen.indices) chosen[index] = mask.data[asked[index]] != 0f
                is IntTensor -> for (index in chosen.indices) chosen[index] = mask.data[asked[index]] != 0
            }
            when (z) {
                is FloatTensor -> {
                    val xs = (x as FloatTensor).data
                    val ys = (y as FloatTensor).data
                    for (index in chosen.indices) z.data[index] = if (chosen[index]) xs[left[index]] else ys[right[index]]
                }

                is IntTensor -> {
                    val xs = (x as IntTensor).data
                    val ys = (y as IntTensor).data
                    for (index in chosen.indices) z.data[index] = if (chosen[index]) xs[left[index]] else ys[right[index]]
                }
            }
        }
    }

    /** The largest value along an axis; NaN wins. */
    fun reduceMax(call: OpCall): Made {
        val x = call.inputs[0]
        if (x.dtype == DType.BOOL) call.fail("cannot take $x")
        val axis = call.attributes.axis(x.rank)
        val extent = x.shape[axis]
        val inner = Moving.inner(x.shape, axis)
        val outer = Moving.outer(x.shape, axis)
        val keep = call.attributes.flag("keepdims")
        val shape = if (keep) Moving.replaced(x.shape, axis, 1) else x.shape.filterIndexed { index, _ -> index != axis }
        val y = x.like(shape)
        return Made(y) {
            for (row in 0 until outer * inner) {
                val start = row / inner * extent * inner + row % inner
                when (x) {
                    is FloatTensor -> {
                        var best = x.data[start]
                        for (index in 1 until extent) best = HostOps.larger(best, x.data[start + index * inner])
                        (y as FloatTensor).data[row] = best
                    }

                    is IntTensor -> {
                        var best = x.data[start]
                        for (index in 1 until extent) best = maxOf(best, x.data[start + index * inner])
                        (y as IntTensor).data[row] = best
                    }
                }
            }
        }
    }
}
