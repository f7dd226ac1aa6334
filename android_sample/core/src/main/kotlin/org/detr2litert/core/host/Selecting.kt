package org.detr2litert.core.host

import org.detr2litert.core.GraphOutputException
import org.detr2litert.core.tensor.IntTensor

/** The selecting ops: [topk] and [gather]. */
internal object Selecting {
    /** The int32 indices of the k largest values along an axis, in the order of [TopK]. */
    fun topk(call: OpCall): Made {
        val x = call.float(0)
        val axis = call.attributes.axis(x.rank)
        val k = call.attributes.whole("k")
        val extent = x.shape[axis]
        val outer = Moving.outer(x.shape, axis)
        val inner = Moving.inner(x.shape, axis)
        val indices = IntTensor(call.shape)
        val best = TopK(extent)
        return Made(indices) {
            for (row in 0 until outer * inner) {
                val start = row / inner * extent * inner + row % inner
                best.clear()
                for (index in 0 until extent) best.add(x.data[start + index * inner], index)
                best.select(k)
                val to = row / inner * k * inner + row % inner
                for (place in 0 until k) indices.data[to + place * inner] = best.index(place)
            }
        }
    }

    /** Selects along an axis: x [B, N, ...] by indices [B, K], row by row of the batch, or any axis by indices [K]. */
    fun gather(call: OpCall): Made {
        val x = call.inputs[0]
        val indices = call.inputs[1] as IntTensor
        val axis = call.attributes.axis(x.rank)
        val batched = indices.rank == 2
        val extent = x.shape[axis]
        val chosen = indices.shape.last()
        val inner = Moving.inner(x.shape, axis)
        val outer = Moving.outer(x.shape, axis)
        val rowsPerBatch = if (batched) outer / x.shape[0] else outer
        val y = x.like(call.shape)
        return Made(y) {
            for (row in 0 until outer) {
                val list = if (batched) row / rowsPerBatch * chosen else 0
                for (place in 0 until chosen) {
                    val index = indices.data[list + place]
                    if (index !in 0 until extent) throw outside(index, extent)
                    System.arraycopy(
                        x.storage,
                        (row * extent + index) * inner,
                        y.storage,
                        (row * chosen + place) * inner,
                        inner,
                    )
                }
            }
        }
    }

    private fun outside(index: Int, extent: Int) =
        GraphOutputException("an index is $index, outside 0..${extent - 1}: a graph ran incorrectly on this accelerator")
}
