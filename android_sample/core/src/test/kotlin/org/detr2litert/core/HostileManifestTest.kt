package org.detr2litert.core

import org.detr2litert.core.json.ForeignJson
import org.detr2litert.core.json.JsonObject
import org.detr2litert.core.json.JsonParser
import org.detr2litert.core.json.JsonSyntaxException
import org.detr2litert.core.manifest.ManifestReader
import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

/** `tests/host_runtime/hostile_manifests.py`: every manifest is refused, in one line that can be printed. */
class HostileManifestTest {
    private val texts: Map<String, String> by lazy {
        File(Goldens.root, "hostile_manifests.jsonl").readLines().map { JsonObject.root(JsonParser.parse(it)) }
            .associate { it.text("name") to it.text("text") }
    }

    private val reasons = mapOf(
        "host_concatenates_to_a_gibibyte" to "to 4260896 elements, more than the 1048576 that its inputs and constants justify",
        "host_broadcasts_to_576_gibibytes" to "gives [393216, 393216], which is more than 67108864 elements",
        "host_multiplies_for_a_minute" to "to 34359738400 multiply-adds, more than 4294967296",
        "host_grows_by_small_steps" to "op 19 'relu' giving 'r14' brings what the host step computes to 1049632 elements",
        "host_513_ops" to "more than 512",
        "host_output_that_graph_b_does_not_read" to "output 'indices' is not an input of graph b",
        "host_output_of_another_type" to "gives 'selected_cells' as int32[1, 4], but graph b reads float32[1, 4, 4]",
        "given_twice_escaped" to "the name \"variant\" is given twice",
        "given_twice_inside" to "the name \"height\" is given twice",
        "nested_arrays" to "nested deeper than 32",
        "tensors_of_a_gibibyte" to "its tensors have 268435832 elements in all",
        "classes_0_label" to "has 257 characters, more than 256",
    )

    @Test
    fun everyOneIsRefusedSoonInOnePrintableLine() {
        assertTrue(texts.size >= 100)
        for ((name, text) in texts) {
            val start = System.nanoTime()
            val line = assertFailsWith<BundleException>(name) { ManifestReader.read(text) }.message!!
            assertTrue(System.nanoTime() - start < 20e9, name)
            assertTrue(line.none { it.isISOControl() || it.isSurrogate() } && line.length < 600, "$name: $line")
            assertTrue("again with `convert run`" in line, "$name: $line")
            assertTrue(reasons[name].orEmpty() in line, "$name: $line")
        }
        assertTrue(texts.keys.containsAll(reasons.keys))
    }

    @Test
    fun whatIsReadIsPrintable() {
        assertEquals("می\u200cخواهم 👩\u200d🚀", ForeignJson.parse("\"می\u200cخواهم 👩\u200d🚀\""))
        val refused =
            listOf("\\u0000", "\\u001b", "\\n", "\\u0085", "\\u202e", "\\ud83d", "\\ude00", "\\ude00\\ud83d", "x".repeat(4097))
        for (text in refused) assertFailsWith<JsonSyntaxException>(text) { ForeignJson.parse("[\"$text\"]") }
        assertFailsWith<JsonSyntaxException> { ForeignJson.parse("{\"\\u001b\": 1}") }
    }
}
