package org.detr2litert.core.host

import org.detr2litert.core.tensor.Tensor

/**
 * Ops that only copy blocks of elements: slice, concat, reshape. A tensor is viewed as [outer, extent of the axis, inner], so
 * that every block is one System.arraycopy.
 */
internal object Moving {
    fun outer(shape: List<Int>, axis: Int): Int = shape.take(axis).fold(1) { product, extent -> product * extent }

    fun inner(shape: List<Int>, axis: Int): Int = shape.drop(axis + 1).fold(1) { product, extent -> product * extent }

    /** x[start:end] along an axis. */
    fun slice(call: OpCall): Made {
        val x = call.inputs[0]
        val axis = call.attributes.axis(x.rank)
        val extent = x.shape[axis]
        val start = HostShapes.sliceBounds(call.attributes, extent).first()
        val length = call.shape[axis]
        val y = x.like(call.shape)
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
        val y = first.like(call.shape)
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

    /** Row-major reshape as a view of the same memory. */
    fun reshape(call: OpCall): Made = Made(call.inputs[0].view(call.shape), null)
}
