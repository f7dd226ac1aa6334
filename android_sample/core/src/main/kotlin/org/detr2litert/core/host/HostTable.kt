package org.detr2litert.core.host

import org.detr2litert.core.tensor.DType
import org.detr2litert.core.tensor.Tensor

/** Limits of the tensors of a host program, equal to those in `host_runtime/host_ops.json`. */
internal object HostLimits {
    const val MAX_RANK = 4
    const val MAX_ELEMENTS = 67_108_864
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
    /** Why [tensor] is not valid as this input, or null. */
    fun problem(tensor: Tensor): String? {
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
 * An op: the inputs and attributes it accepts, its output type, and the function that compiles a checked call.
 *
 * @property verb names the operation in messages.
 */
internal class OpRule(
    val inputs: List<InputRule>,
    val attributes: Map<String, AttributeRule> = emptyMap(),
    val output: DType = DType.FLOAT32,
    val verb: String = "take",
    val make: (OpCall) -> Made,
) {
    /** Refuses a wrong number of inputs, invalid attributes, and inputs of a wrong type or rank. */
    fun check(call: OpCall) {
        val arity = inputs.count { !it.optional }..inputs.sumOf { it.repeats }
        if (call.inputs.size !in arity) call.fail("has ${call.inputs.size} inputs, not ${arity.first} to ${arity.last}")
        call.attributes.check(attributes)
        call.inputs.forEachIndexed { index, tensor ->
            inputs[minOf(index, inputs.lastIndex)].problem(tensor)?.let { problem ->
                call.fail("cannot $verb ${call.inputs.joinToString(" and ")}: $problem")
            }
        }
    }
}
