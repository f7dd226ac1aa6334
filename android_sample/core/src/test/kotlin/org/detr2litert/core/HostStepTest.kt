package org.detr2litert.core

import org.detr2litert.core.host.HostOps
import org.detr2litert.core.host.HostStep
import org.detr2litert.core.host.TopK
import org.detr2litert.core.manifest.HostOp
import org.detr2litert.core.manifest.HostProgram
import org.detr2litert.core.tensor.DType
import org.detr2litert.core.tensor.FloatTensor
import org.detr2litert.core.tensor.IntTensor
import org.detr2litert.core.tensor.Tensor
import org.detr2litert.core.tensor.TensorSpec
import kotlin.math.abs
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertSame
import kotlin.test.assertTrue

class HostStepTest {
    /** Within each case's tolerance: 0 for selection, gathers, moves and + - * /. */
    @Test
    fun everyOpAgreesWithPython() {
        val seen = HashSet<String>()
        for (case in Goldens.cases("host_steps")) {
            val program = HostCases.program(case.settings.child("host_step"))
            seen += program.ops.map { it.op }
            val specs = program.inputs.map { HostCases.spec(it, case.tensors.getValue("in.$it")) }
            val constants = program.constants.associate { it.name to case.tensors.getValue("const.${it.name}") }
            Workers(3).use { workers ->
                val step = HostStep(program, constants, specs, workers)
                for (round in 1..2) {
                    for (name in program.inputs) HostCases.copy(case.tensors.getValue("in.$name"), step.tensor(name))
                    step.run()
                    for (name in program.outputs) {
                        val expected = case.tensors.getValue("out.$name")
                        val tolerance = case.settings.number("tolerance").toFloat() * HostCases.largest(expected)
                        assertClose(expected, step.tensor(name), tolerance, "${case.name}, round $round, $name")
                    }
                }
            }
        }
        assertEquals(HostOps.names, seen, "the ops of HostOps.kt, and those of tests/host_runtime/host_cases.py")
    }

    @Test
    fun topKIsAStableDescendingSort() {
        val random = Random(7)
        for (round in 0 until 300) {
            val values = FloatArray(random.nextInt(1, 200)) { random.nextInt(-4, 4) / 2f }
            val k = random.nextInt(1, values.size + 1)
            val best = TopK(values.size)
            values.forEachIndexed { index, value -> best.add(value, index) }
            assertEquals(k, best.select(k))
            val expected = values.indices.sortedWith(compareByDescending { values[it] }).take(k)
            assertEquals(expected, List(k) { best.index(it) })
        }
    }

    @Test
    fun tensorsAreReusedBetweenRuns() {
        val program = HostProgram(
            listOf("x"),
            emptyList(),
            listOf(
                HostOp("relu", listOf("x"), "y", emptyMap()),
                HostOp("reshape", listOf("y"), "z", mapOf("shape" to listOf(4L))),
            ),
            listOf("z"),
        )
        Workers(1).use { workers ->
            val step = HostStep(program, emptyMap(), listOf(TensorSpec("x", listOf(2, 2))), workers)
            val z = step.tensor("z") as FloatTensor
            for (sign in listOf(1f, -1f)) {
                (step.tensor("x") as FloatTensor).data.fill(sign)
                step.run()
                assertSame(z, step.tensor("z"))
                assertEquals(List(4) { maxOf(sign, 0f) }, z.data.toList())
            }
        }
    }

    @Test
    fun aProgramThatCannotRunIsRefusedByNameBeforeItRuns() {
        val x = TensorSpec("x", listOf(1, 6))
        val faults = mapOf(
            HostOp("fft", listOf("x"), "y", emptyMap()) to "not an op",
            HostOp("add", listOf("x"), "y", emptyMap()) to "1 inputs",
            HostOp("topk", listOf("x"), "y", mapOf("k" to 3L)) to "axis",
            HostOp("topk", listOf("x"), "y", mapOf("k" to 7L, "axis" to 1L)) to "7 largest",
            HostOp("relu", listOf("x"), "y", mapOf("slope" to 0.1)) to "slope",
            HostOp("relu", listOf("w"), "y", emptyMap()) to "'w'",
            HostOp("relu", listOf("x"), "x", emptyMap()) to "second time",
            HostOp("reshape", listOf("x"), "y", mapOf("shape" to listOf(5L))) to "[5]",
            HostOp("slice", listOf("x"), "y", mapOf("axis" to 2L, "start" to 0L, "end" to 1L)) to "axis = 2",
            HostOp("gather", listOf("x", "x"), "y", mapOf("axis" to 1L)) to "cannot index",
            HostOp("linear", listOf("x", "x", "x"), "y", emptyMap()) to "cannot multiply",
            HostOp("layer_norm", listOf("x", "x"), "y", mapOf("eps" to 1e-5)) to "cannot scale",
            HostOp("concat", listOf("x"), "y", mapOf("axis" to 0.5)) to "whole",
            HostOp("gelu", listOf("x"), "y", mapOf("approximate" to "erf")) to "erf",
        )
        Workers(1).use { workers ->
            for ((op, word) in faults) {
                val program = HostProgram(listOf("x"), emptyList(), listOf(op), listOf(op.output))
                val error =
                    assertFailsWith<BundleException>(op.toString()) { HostStep(program, emptyMap(), listOf(x), workers) }
                assertTrue(word in error.message!!, "$op: ${error.message}")
            }
        }
    }

    @Test
    fun anIndexOutsideIsCaught() {
        val program = HostProgram(
            listOf("x", "i"),
            emptyList(),
            listOf(HostOp("gather", listOf("x", "i"), "y", mapOf("axis" to 1L))),
            listOf("y"),
        )
        val specs = listOf(TensorSpec("x", listOf(1, 3, 2)), TensorSpec("i", listOf(1, 1), DType.INT32))
        Workers(1).use { workers ->
            val step = HostStep(program, emptyMap(), specs, workers)
            for (index in listOf(-1, 3)) {
                (step.tensor("i") as IntTensor).data[0] = index
                assertFailsWith<GraphOutputException> { step.run() }
            }
        }
    }
}

/** Host programs and tensors from the golden files. */
object HostCases {
    fun program(json: org.detr2litert.core.json.JsonObject): HostProgram = HostProgram(
        inputs = json.texts("inputs"),
        constants = json.objects("constants").map {
            TensorSpec(it.text("name"), it.wholes("shape"), DType.of(it.text("dtype")))
        },
        ops = json.objects("ops").map { op ->
            val attributes = op.child("attributes")
            HostOp(op.text("op"), op.texts("inputs"), op.text("output"), attributes.names.associateWith { attributes.raw(it) })
        },
        outputs = json.texts("outputs"),
    )

    fun spec(name: String, tensor: Tensor) = TensorSpec(name, tensor.shape, tensor.dtype)

    fun copy(from: Tensor, to: Tensor) = System.arraycopy(from.storage, 0, to.storage, 0, from.size)

    fun largest(tensor: Tensor): Float =
        (tensor as? FloatTensor)?.data?.filter { it.isFinite() }?.maxOfOrNull { abs(it) }?.coerceAtLeast(1f) ?: 1f
}
