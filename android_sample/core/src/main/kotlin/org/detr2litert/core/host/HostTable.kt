package org.detr2litert.core.host

import org.detr2litert.core.tensor.DType

/** Limits of a host program and its tensors, equal to those in `host_runtime/host_ops.json`. */
internal object HostLimits {
    const val MAX_RANK = 4
    const val MAX_ELEMENTS = 67_108_864
    const val MAX_OPS = 512
    const val MAX_GROWTH = 8
    const val FREE_ELEMENTS = 1_048_576L
    const val MAX_WORK = 4_294_967_296L
    val dtypes = listOf(DType.FLOAT32, DType.INT32)
}

/** An op's input: its name in messages, its type, its allowed ranks, and how often it may repeat. */
internal data class InputRule(
    val name: String,
    val ranks: IntRange = 0..HostLimits.MAX_RANK,
    val dtype: DType = DType.FLOAT32,
    val optional: Boolean = false,
    val repeats: Int = 1,
) {
    /** Why a [tensor] is not valid as this input, or null. */
    fun problem(tensor: Kind): String? {
        val expected = if (dtype == DType.INT32) "integers (int32)" else dtype.label
        return when {
            tensor.dtype != dtype -> "input '$name' is ${tensor.dtype.label}, not $expected"
            tensor.rank !in ranks -> "input '$name' has rank ${tensor.rank}, not ${ranks.first} to ${ranks.last}"
            else -> null
        }
    }
}

internal enum class AttributeType(val label: String, val words: String) {
    INTEGER("integer", "a whole number"),
    NUMBER("number", "a number"),
    TEXT("text", "a text"),
    INTEGERS("integers", "a list of whole numbers"),
}

/** An op's attribute: its type, its inclusive bounds (per item of a list) or allowed values, and whether it is optional. */
internal data class AttributeRule(
    val type: AttributeType,
    val minimum: Double = 0.0,
    val maximum: Double = 0.0,
    val values: List<String> = emptyList(),
    val optional: Boolean = false,
) {
    fun accepts(value: Any?): Boolean = when (type) {
        AttributeType.INTEGER -> isWhole(value)
        AttributeType.NUMBER -> isNumber(value)
        AttributeType.TEXT -> value in values
        AttributeType.INTEGERS -> value is List<*> && value.all(::isWhole)
    }

    fun wanted(): String = if (type == AttributeType.TEXT) {
        values.joinToString(" or ") { "'$it'" }
    } else {
        "${type.words} from $minimum to $maximum"
    }

    private fun isNumber(value: Any?) = value is Number && value.toDouble() in minimum..maximum

    private fun isWhole(value: Any?) = isNumber(value) && (value as Number).toDouble().let { it == Math.rint(it) }
}

/**
 * An op: the inputs and attributes it accepts, its output type and shape, and the function that compiles a checked call.
 *
 * @property verb names the operation in messages.
 */
internal class OpRule(
    val inputs: List<InputRule>,
    val attributes: Map<String, AttributeRule> = emptyMap(),
    val output: DType = DType.FLOAT32,
    val verb: String = "take",
    val shape: ShapeRule = HostShapes.same,
    val make: (OpCall) -> Made,
) {
    /**
     * The output, from the inputs.
     *
     * Fails for a wrong number of inputs, invalid attributes, inputs of a wrong type or rank, and an output that is too large.
     */
    fun result(given: List<Kind>, attributes: Attributes): Kind {
        val arity = inputs.count { !it.optional }..inputs.sumOf { it.repeats }
        if (given.size !in arity) attributes.fail("has ${given.size} inputs, not ${arity.first} to ${arity.last}")
        attributes.check(this.attributes)
        given.forEachIndexed { index, tensor ->
            inputs[minOf(index, inputs.lastIndex)].problem(tensor)?.let { problem ->
                attributes.fail("cannot $verb ${given.joinToString(" and ")}: $problem")
            }
        }
        val result = Kind(output, shape.of(given, attributes))
        if (result.rank > HostLimits.MAX_RANK) attributes.fail("gives rank ${result.rank}, more than ${HostLimits.MAX_RANK}")
        if (result.elements > HostLimits.MAX_ELEMENTS) {
            attributes.fail("gives ${result.shape}, which is more than ${HostLimits.MAX_ELEMENTS} elements")
        }
        return result
    }
}
