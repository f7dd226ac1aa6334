package org.detr2litert.core.host

import org.detr2litert.core.tensor.DType
import org.detr2litert.core.tensor.TensorSpec

/** The type and shape of a tensor, known before it is computed. */
internal data class Kind(val dtype: DType, val shape: List<Int>) {
    val rank: Int get() = shape.size
    val elements: Long get() = TensorSpec.elements(shape)

    override fun toString() = "${dtype.label}$shape"
}

/** The shape of an op's output from its inputs, whose types and ranks were checked; fails for what the op cannot compute. */
internal fun interface ShapeRule {
    fun of(inputs: List<Kind>, attributes: Attributes): List<Int>
}

/** The shape rules of `host_runtime/host_ops.json`, as in `host_runtime/host_shapes.py`. */
internal object HostShapes {
    val same = ShapeRule { (x), _ -> x.shape }

    val clamp = ShapeRule { (x), attributes ->
        if (!attributes.has("min") && !attributes.has("max")) attributes.fail("has neither min nor max")
        x.shape
    }

    /** NumPy's: aligned at the last axis, extents equal or 1. */
    val broadcast = ShapeRule { inputs, attributes ->
        val rank = inputs.maxOf { it.rank }
        List(rank) { axis ->
            val extents = inputs.map { it.shape.getOrElse(axis - rank + it.rank) { 1 } }.toSet() - 1
            if (extents.size > 1) attributes.fail("cannot broadcast ${inputs.joinToString(" with ")}")
            extents.singleOrNull() ?: 1
        }
    }

    val topk = ShapeRule { (x), attributes ->
        val axis = attributes.axis(x.rank)
        val k = attributes.whole("k")
        if (k > x.shape[axis]) attributes.fail("cannot select the $k largest of $x")
        replaced(x.shape, axis, k)
    }

    val gather = ShapeRule { (x, indices), attributes ->
        val axis = attributes.axis(x.rank)
        if (indices.rank == 2 && (axis == 0 || indices.shape[0] != x.shape[0])) {
            attributes.fail("cannot index axis $axis of $x by $indices")
        }
        replaced(x.shape, axis, indices.shape.last())
    }

    val linear = ShapeRule { inputs, attributes ->
        val (x, weight) = inputs
        val bias = inputs.getOrNull(2)
        val fits = weight.shape[1] == x.shape.last() && (bias == null || bias.shape == weight.shape.take(1))
        if (!fits) attributes.fail("cannot multiply ${inputs.joinToString(" by ")}")
        x.shape.dropLast(1) + weight.shape[0]
    }

    val layerNorm = ShapeRule { inputs, attributes ->
        val x = inputs[0]
        if (inputs.drop(1).any {
                it.shape != x.shape.takeLast(1)
            }
        ) {
            attributes.fail("cannot scale ${inputs.joinToString(" by ")}")
        }
        x.shape
    }

    val slice = ShapeRule { (x), attributes ->
        val axis = attributes.axis(x.rank)
        val (start, end) = sliceBounds(attributes, x.shape[axis])
        if (end <= start) attributes.fail("gives an empty slice of $x")
        replaced(x.shape, axis, end - start)
    }

    val concat = ShapeRule { inputs, attributes ->
        val first = inputs[0]
        val axis = attributes.axis(first.rank)
        for (other in inputs) {
            val fits = replaced(other.shape, axis, 0) == replaced(first.shape, axis, 0)
            if (!fits) attributes.fail("cannot join $first and $other along axis $axis")
        }
        val total = inputs.sumOf { it.shape[axis].toLong() }
        if (total > HostLimits.MAX_ELEMENTS) attributes.fail("gives an extent of $total")
        replaced(first.shape, axis, total.toInt())
    }

    /** One extent may be -1. */
    val reshape = ShapeRule { (x), attributes ->
        val requested = attributes.wholes("shape")
        val known = TensorSpec.elements(requested.filter { it != -1 })
        val open = requested.count { it == -1 }
        if (open > 1 || known == 0L || x.elements % known != 0L || (open == 0 && known != x.elements)) {
            attributes.fail("cannot reshape $x to $requested")
        }
        requested.map { if (it == -1) (x.elements / known).toInt() else it }
    }

    fun replaced(shape: List<Int>, axis: Int, extent: Int): List<Int> =
        shape.mapIndexed { index, old -> if (index == axis) extent else old }

    /** `start` and `end` on an axis of [extent], with Python's rules for negative and too large bounds. */
    fun sliceBounds(attributes: Attributes, extent: Int): List<Int> = listOf("start", "end").map { name ->
        val value = attributes.whole(name)
        (if (value < 0) value + extent else value).coerceIn(0, extent)
    }
}
