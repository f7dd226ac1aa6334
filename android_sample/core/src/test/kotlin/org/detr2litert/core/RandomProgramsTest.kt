package org.detr2litert.core

import org.detr2litert.core.host.HostStep
import org.detr2litert.core.json.JsonShapeException
import org.detr2litert.core.manifest.ManifestReader
import org.detr2litert.core.tensor.Tensor
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** `tests/host_runtime/random_host_programs.py`: same results and refusals as NumPy, at the same stage. */
class RandomProgramsTest {
    @Test
    fun everyProgramHasPythonsResult() {
        val cases = Goldens.cases("random_programs")
        Workers(2).use { workers ->
            for (case in cases) {
                assertEquals(case.settings.text("refused"), answer(case, workers), case.name)
            }
        }
        assertEquals(setOf("", "made", "run"), cases.map { it.settings.text("refused") }.toSet())
        assertTrue(cases.size >= 300)
    }

    /** When the program was refused, `made` or `run`; "" if its outputs equal Python's. Other exceptions propagate. */
    private fun answer(case: Goldens.Case, workers: Workers): String {
        val step = try {
            made(case, workers)
        } catch (_: BundleException) {
            return "made"
        } catch (_: JsonShapeException) {
            return "made"
        }
        for (name in step.inputNames) case.tensors["in.$name"]?.let { HostCases.copy(it, step.tensor(name)) }
        try {
            step.run()
        } catch (_: GraphOutputException) {
            return "run"
        }
        for (name in step.outputNames) {
            val expected = case.tensors["out.$name"] ?: continue
            val tolerance = case.settings.number("tolerance").toFloat() * HostCases.largest(expected)
            assertClose(expected, step.tensor(name), tolerance, "${case.name}, $name")
        }
        return ""
    }

    private fun made(case: Goldens.Case, workers: Workers): HostStep {
        val program = ManifestReader.hostStep(case.settings.child("host_step"))
        val specs = case.settings.objects("inputs").map(ManifestReader::tensor)
        // A program refused at compilation has no tensors in its file.
        val constants = program.constants.associate { it.name to (case.tensors["const.${it.name}"] ?: Tensor.of(it)) }
        return HostStep(program, constants, specs, workers)
    }
}
