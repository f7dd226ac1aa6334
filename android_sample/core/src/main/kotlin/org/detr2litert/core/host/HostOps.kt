package org.detr2litert.core.host

import org.detr2litert.core.tensor.FloatTensor
import org.detr2litert.core.tensor.Tensor
import kotlin.math.exp
import kotlin.math.ln

/** What an op is made from: its inputs in order, which of them are constants, and its attributes. */
internal class OpCall(
    val inputs: List<Tensor>,
    val constant: List<Boolean>,
    val attributes: Attributes,
    val workers: Workers,
) {
    /** Input [index] as float32; other types are refused. */
    fun float(index: Int): FloatTensor = inputs[index] as? FloatTensor ?: fail("cannot take ${inputs[index]} as input $index")

    fun floatOrNull(index: Int): FloatTensor? = if (index < inputs.size) float(index) else null

    fun fail(problem: String): Nothing = attributes.fail(problem)
}

/** An op's output tensor, and the step that fills it; null where the output is a view that needs no work. */
internal class Made(val output: Tensor, val step: Step?)

/** The op table: name, number of inputs, attributes, and the file that implements it. */
internal object HostOps {
    private class Entry(
        val inputs: IntRange,
        val required: Set<String> = emptySet(),
        val optional: Set<String> = emptySet(),
        val make: (OpCall) -> Made,
    )

    private val table: Map<String, Entry> = mapOf(
        "topk" to Entry(1..1, setOf("k", "axis"), make = Selecting::topk),
        "gather" to Entry(2..2, setOf("axis"), make = Selecting::gather),
        "slice" to Entry(1..1, setOf("axis", "start", "end"), make = Moving::slice),
        "concat" to Entry(1..64, setOf("axis"), make = Moving::concat),
        "reshape" to Entry(1..1, setOf("shape"), make = Moving::reshape),
        "linear" to Entry(2..3, make = Linear::make),
        "layer_norm" to Entry(1..3, setOf("eps"), make = LayerNorm::make),
        "gelu" to Entry(1..1, optional = setOf("approximate"), make = Gelu::make),
        "relu" to unary { if (it < 0f) 0f else it },
        "sigmoid" to unary(::sigmoid),
        "silu" to unary { it * sigmoid(it) },
        "exp" to unary { exp(it.toDouble()).toFloat() },
        "log" to unary { ln(it.toDouble()).toFloat() },
        "clamp" to Entry(1..1, optional = setOf("min", "max"), make = ::clamp),
        "add" to Entry(2..2) { Binary.make(it, { x, y -> x + y }, { x, y -> x + y }) },
        "sub" to Entry(2..2) { Binary.make(it, { x, y -> x - y }, { x, y -> x - y }) },
        "mul" to Entry(2..2) { Binary.make(it, { x, y -> x * y }, { x, y -> x * y }) },
        "div" to Entry(2..2) { Binary.make(it, { x, y -> x / y }, null) },
        "maximum" to Entry(2..2) { Binary.make(it, ::larger, { x, y -> maxOf(x, y) }) },
        "minimum" to Entry(2..2) { Binary.make(it, ::smaller, { x, y -> minOf(x, y) }) },
        "where" to Entry(3..3, make = Choosing::where),
        "reduce_max" to Entry(1..1, setOf("axis"), setOf("keepdims"), Choosing::reduceMax),
    )

    /** The names of all ops, for tests against the Python table. */
    val names: Set<String> get() = table.keys

    fun make(name: String, call: OpCall): Made {
        val entry = table[name] ?: call.fail("is not an op that this app knows")
        if (call.inputs.size !in entry.inputs) call.fail("has ${call.inputs.size} inputs, not ${entry.inputs}")
        call.attributes.allowOnly(entry.required, entry.optional)
        return entry.make(call)
    }

    /** 1 / (1 + exp(-x)) in float32; exp overflows to infinity below -88, which gives the right 0. */
    fun sigmoid(x: Float): Float = 1f / (1f + exp(-x.toDouble()).toFloat())

    /** NaN wins, as in NumPy and torch. */
    fun larger(x: Float, y: Float): Float = if (x.isNaN() || x >= y) x else y

    fun smaller(x: Float, y: Float): Float = if (x.isNaN() || x <= y) x else y

    private fun clamp(call: OpCall): Made {
        val least = if (call.attributes.has("min")) call.attributes.number("min").toFloat() else Float.NEGATIVE_INFINITY
        val most = if (call.attributes.has("max")) call.attributes.number("max").toFloat() else Float.POSITIVE_INFINITY
        // Compared this way round so that NaN stays.
        return Unary.make(call) { x ->
            val raised = if (x < least) least else x
            if (raised > most) most else raised
        }
    }

    private fun unary(function: FloatFunction) = Entry(1..1) { Unary.make(it, function) }
}
