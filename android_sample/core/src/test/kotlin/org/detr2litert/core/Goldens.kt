package org.detr2litert.core

import org.detr2litert.core.json.JsonObject
import org.detr2litert.core.json.JsonParser
import org.detr2litert.core.tensor.ByteTensor
import org.detr2litert.core.tensor.FloatTensor
import org.detr2litert.core.tensor.IntTensor
import org.detr2litert.core.tensor.Safetensors
import org.detr2litert.core.tensor.Tensor
import java.io.File
import kotlin.math.abs
import kotlin.test.assertEquals
import kotlin.test.fail

/** The golden vectors of tests/android/make_goldens.py, in the folder of the system property `goldens`. */
object Goldens {
    val root: File by lazy {
        val name = System.getProperty("goldens") ?: fail("set -Dgoldens to the folder that make_goldens.py wrote")
        File(name).also { if (!it.isDirectory) fail("$it is no folder; run tests/android/make_goldens.py") }
    }

    /** A golden case: its name, its settings and its tensors. */
    class Case(val name: String, val settings: JsonObject, val tensors: Map<String, Tensor>) {
        fun floats(key: String): FloatArray = (tensors.getValue(key) as FloatTensor).data

        fun ints(key: String): IntArray = (tensors.getValue(key) as IntTensor).data
    }

    /** All cases in the folder [name], at least one. */
    fun cases(name: String): List<Case> {
        val files = File(root, name).listFiles { file -> file.name.endsWith(".safetensors") }.orEmpty().sorted()
        check(files.isNotEmpty()) { "no cases in $name" }
        return files.map { file ->
            val settings = json(File(file.path.removeSuffix(".safetensors") + ".json"))
            Case(file.name.removeSuffix(".safetensors"), JsonObject.root(settings), Safetensors.read(file))
        }
    }

    fun json(file: File): Any? = JsonParser.parse(file.readText())
}

/** Asserts equal shapes and types, and differences of at most [tolerance]; NaN equals NaN. */
fun assertClose(expected: Tensor, actual: Tensor, tolerance: Float, what: String) {
    assertEquals(expected.shape, actual.shape, what)
    when (expected) {
        is IntTensor -> assertEquals(expected.data.toList(), (actual as IntTensor).data.toList(), what)
        is ByteTensor -> assertEquals(expected.data.toList(), (actual as ByteTensor).data.toList(), what)
        is FloatTensor -> assertClose(expected.data, (actual as FloatTensor).data, tolerance, what)
    }
}

fun assertClose(expected: FloatArray, actual: FloatArray, tolerance: Float, what: String) {
    assertEquals(expected.size, actual.size, what)
    for (index in expected.indices) {
        val same = expected[index] == actual[index] || (expected[index].isNaN() && actual[index].isNaN())
        if (!same && !(abs(expected[index] - actual[index]) <= tolerance)) {
            fail("$what: at $index ${actual[index]}, not ${expected[index]} (tolerance $tolerance)")
        }
    }
}
