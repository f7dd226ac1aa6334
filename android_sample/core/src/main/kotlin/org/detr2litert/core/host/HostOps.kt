package org.detr2litert.core.host

import org.detr2litert.core.Workers
import org.detr2litert.core.tensor.DType
import org.detr2litert.core.tensor.FloatTensor
import org.detr2litert.core.tensor.Tensor
import kotlin.math.exp
import kotlin.math.ln

/** A checked call of an op: its inputs in order, which of them are constants, its attributes, and the shape of its output. */
internal class OpCall(
    val inputs: List<Tensor>,
    val constant: List<Boolean>,
    val attributes: Attributes,
    val workers: Workers,
    val shape: List<Int>,
) {
    /** Input [index], which the op's rule has found to be float32. */
    fun float(index: Int): FloatTensor = inputs[index] as FloatTensor

    fun floatOrNull(index: Int): FloatTensor? = if (index < inputs.size) float(index) else null
}

/** An op's output tensor, and the step that fills it; null where the output is a view that needs no work. */
internal class Made(val output: Tensor, val step: Step?)

/** The table of ops: the rows of `host_runtime/host_ops.json`, which a test compares with it, and the function of each. */
internal object HostOps {
    private val axis = whole(-HostLimits.MAX_RANK, HostLimits.MAX_RANK - 1)
    private val anywhere = whole(Int.MIN_VALUE, Int.MAX_VALUE)
    private val limit = number(-Float.MAX_VALUE.toDouble(), Float.MAX_VALUE.toDouble(), optional = true)

    private val x = InputRule("x")
    private val ranked = InputRule("x", 1..HostLimits.MAX_RANK)
    private val indices = InputRule("indices", 1..2, DType.INT32)

    private fun vector(name: String) = InputRule(name, 1..1, optional = true)

    val table: Map<String, OpRule> = mapOf(
        "topk" to OpRule(
            listOf(ranked),
            mapOf("k" to whole(1, Int.MAX_VALUE), "axis" to axis),
            DType.INT32,
            shape = HostShapes.topk,
            make = Selecting::topk,
        ),
        "gather" to OpRule(
            listOf(ranked, indices),
            mapOf("axis" to axis),
            verb = "index",
            shape = HostShapes.gather,
            make = Selecting::gather,
        ),
        "linear" to OpRule(
            listOf(ranked, InputRule("weight", 2..2), vector("bias")),
            verb = "multiply",
            shape = HostShapes.linear,
            make = Linear::make,
        ),
        "layer_norm" to OpRule(
            listOf(ranked, vector("weight"), vector("bias")),
            mapOf("eps" to number(1e-12, 1.0)),
            verb = "scale",
            shape = HostShapes.layerNorm,
            make = LayerNorm::make,
        ),
        "relu" to unary { if (it < 0f) 0f else it },
        "silu" to unary { it * sigmoid(it) },
        "gelu" to OpRule(
            listOf(x),
            mapOf("approximate" to AttributeRule(AttributeType.TEXT, values = listOf("none", "tanh"), optional = true)),
            make = Gelu::make,
        ),
        "sigmoid" to unary(::sigmoid),
        "exp" to unary { exp(it.toDouble()).toFloat() },
        "log" to unary { ln(it.toDouble()).toFloat() },
        "add" to binary { x, y -> x + y },
        "sub" to binary { x, y -> x - y },
        "mul" to binary { x, y -> x * y },
        "div" to binary { x, y -> x / y },
        "maximum" to binary(::larger),
        "minimum" to binary(::smaller),
        "clamp" to OpRule(listOf(x), mapOf("min" to limit, "max" to limit), shape = HostShapes.clamp, make = ::clamp),
        "slice" to OpRule(
            listOf(ranked),
            mapOf("axis" to axis, "start" to anywhere, "end" to anywhere),
            shape = HostShapes.slice,
            make = Moving::slice,
        ),
        "concat" to OpRule(
            listOf(ranked.copy(repeats = 64)),
            mapOf("axis" to axis),
            shape = HostShapes.concat,
            make = Moving::concat,
        ),
        "reshape" to OpRule(
            listOf(x),
            mapOf("shape" to AttributeRule(AttributeType.INTEGERS, -1.0, Int.MAX_VALUE.toDouble())),
            shape = HostShapes.reshape,
            make = Moving::reshape,
        ),
    )

    /** The names of all ops. */
    val names: Set<String> get() = table.keys

    /** 1 / (1 + exp(-x)) in float32; exp overflows to infinity below -88, which gives the right 0. */
    fun sigmoid(x: Float): Float = 1f / (1f + exp(-x.toDouble()).toFloat())

    /** NaN if either is, as in NumPy and PyTorch. */
    private fun larger(x: Float, y: Float): Float = if (x.isNaN() || x >= y) x else y

    private fun smaller(x: Float, y: Float): Float = if (x.isNaN() || x <= y) x else y

    private fun clamp(call: OpCall): Made {
        val least = if (call.attributes.has("min")) call.attributes.number("min").toFloat() else Float.NEGATIVE_INFINITY
        val most = if (call.attributes.has("max")) call.attributes.number("max").toFloat() else Float.POSITIVE_INFINITY
        // Both comparisons are false for NaN, so it is preserved.
        return Unary.make(call) { x ->
            val raised = if (x < least) least else x
            if (raised > most) most else raised
        }
    }

    private fun unary(function: FloatFunction) = OpRule(listOf(x)) { Unary.make(it, function) }

    private fun binary(function: FloatFunction2) =
        OpRule(listOf(x, InputRule("y")), shape = HostShapes.broadcast) { Binary.make(it, function) }

    private fun whole(minimum: Int, maximum: Int) =
        AttributeRule(AttributeType.INTEGER, minimum.toDouble(), maximum.toDouble())

    private fun number(minimum: Double, maximum: Double, optional: Boolean = false) =
        AttributeRule(AttributeType.NUMBER, minimum, maximum, optional = optional)
}
