package org.detr2litert.core

import org.detr2litert.core.json.JsonObject
import org.detr2litert.core.json.JsonParser
import org.detr2litert.core.json.JsonSyntaxException
import org.detr2litert.core.json.JsonWriter
import org.detr2litert.core.manifest.ClassKeypoints
import org.detr2litert.core.manifest.ManifestReader
import org.detr2litert.core.manifest.MaskSpec
import org.detr2litert.core.manifest.NativeFiles
import org.detr2litert.core.tensor.DType
import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class ManifestTest {
    private val cases: List<JsonObject> by lazy {
        val files = listOf("manifests.json", "keypoint_manifests.json")
        files.flatMap { Goldens.json(File(Goldens.root, it)) as List<*> }.map { JsonObject.root(it) }
    }

    /** Reads every manifest that Python reads, and refuses every one that it refuses, with the reason in one line. */
    @Test
    fun verdictsEqualPythons() {
        for (case in cases) {
            val name = case.text("name")
            if (case.text("verdict") == "read") {
                ManifestReader.read(case.text("text"))
            } else {
                val error = assertFailsWith<BundleException>(name) { ManifestReader.read(case.text("text")) }
                assertTrue('\n' !in error.message!! && "manifest.json" in error.message!!, "$name: ${error.message}")
            }
        }
        assertEquals(setOf("read", "refused"), cases.map { it.text("verdict") }.toSet())
    }

    @Test
    fun anUnknownDtypeIsRefused() {
        for (label in listOf("int64", "bool", "float16")) {
            val error = assertFailsWith<IllegalArgumentException> { DType.of(label) }
            assertEquals("the dtype '$label' is not supported, only float32, int32, uint8", error.message)
            val text = cases.first { it.text("name") == "sound" }.text("text").replaceFirst("\"float32\"", "\"$label\"")
            val refusal = assertFailsWith<BundleException> { ManifestReader.read(text) }
            assertTrue("'$label' is not one of float32, int32" in refusal.message!!, refusal.message)
        }
    }

    @Test
    fun settingsAreRead() {
        val settings = ManifestReader.read(cases.first { it.text("name") == "settings" }.text("text")).settings
        assertEquals(listOf<Any>(8.0, 8.0), settings.getValue("resolution").value)
        assertEquals("the default of cells; the file does not say", settings.getValue("resolution").origin)
        assertEquals(listOf<Any>("bilinear", 4.0), listOf("resize", "num_select").map { settings.getValue(it).value })
        assertEquals(listOf("num_select"), settings.filterValues { it.requested }.keys.toList())
        assertEquals(emptyMap(), ManifestReader.read(cases.first { it.text("name") == "sound" }.text("text")).settings)
    }

    @Test
    fun theNativeFormIsReadAndItsFilesMustBeListed() {
        fun text(name: String) = cases.first { it.text("name") == name }.text("text")
        assertEquals(NativeFiles("graph_a.tflite", "graph_b.native.tflite"), ManifestReader.read(text("native")).native)
        assertEquals(NativeFiles("graph_a.tflite", "graph_b.tflite"), ManifestReader.read(text("native_same_files")).native)
        assertEquals(null, ManifestReader.read(text("sound")).native)
        assertEquals(ManifestReader.read(text("sound")), ManifestReader.read(text("version_1")))
        val refusal = assertFailsWith<BundleException> { ManifestReader.read(text("native_not_listed_b")) }
        assertTrue("graph_b.native.tflite is used but not listed under files" in refusal.message!!, refusal.message)
        val newer = assertFailsWith<BundleException> { ManifestReader.read(text("newer")) }
        assertTrue("schema version 7 but this app reads up to 6; update the app" in newer.message!!, newer.message)
    }

    @Test
    fun aBundleOfOneGraphHasNoGraphBAndNoHostStep() {
        fun text(name: String) = cases.first { it.text("name") == name }.text("text")
        val one = ManifestReader.read(text("one_graph_sound"))
        assertEquals(null, one.graphB)
        assertEquals(one.graphA, one.lastGraph)
        assertEquals(emptyList(), one.hostStep.ops)
        assertEquals(NativeFiles("graph_a.tflite", null), ManifestReader.read(text("one_graph_native")).native)
        val reasons = mapOf(
            "one_graph_of_version_2" to "b is missing, which a bundle of version 2 has",
            "one_graph_with_a_host_step" to "a host step after graph a and no graph b to read it",
            "one_graph_native_b" to "the native form has two graphs and the portable one not",
            "one_graph_without_logits" to "'nothing', which is not an output of graph a",
        )
        for ((name, reason) in reasons) {
            val refusal = assertFailsWith<BundleException>(name) { ManifestReader.read(text(name)) }
            assertTrue(reason in refusal.message!!, refusal.message)
        }
    }

    @Test
    fun masksNeedAGraphThatFits() {
        fun text(name: String) = cases.first { it.text("name") == name }.text("text")
        val manifest = ManifestReader.read(text("masks_sound"))
        assertEquals(MaskSpec("masks", "kept"), manifest.postprocess.masks)
        assertEquals("graph_m.tflite", manifest.graphM?.file)
        assertEquals("graph_m.tflite", ManifestReader.read(text("masks_native")).native?.m)
        val reasons = mapOf(
            "masks_of_version_3" to "m is for masks, which a bundle of version 3 has not",
            "masks_without_graph" to "graph m is missing, which postprocess.masks need",
            "masks_native_without_m" to "only one of the native and the portable form has a graph of masks",
            "masks_kept_unknown" to "graph m reads 'kept' [2], which the graph before it does not give",
            "masks_output_of_another_room" to "graph m needs an output 'masks' of masks, float32 [1, h, w, 2]",
            "masks_file_not_listed" to "graph_m.tflite is used but not listed under files",
        )
        for ((name, reason) in reasons) {
            val refusal = assertFailsWith<BundleException>(name) { ManifestReader.read(text(name)) }
            assertTrue(reason in refusal.message!!, refusal.message)
        }
    }

    @Test
    fun keypointsNeedAnOutputThatFits() {
        fun text(name: String) = cases.first { it.text("name") == name }.text("text")
        val manifest = ManifestReader.read(text("keypoints_sound"))
        val spec = manifest.postprocess.keypoints!!
        assertEquals(Triple("keypoints", 5, 0.2), Triple(spec.output, spec.count, spec.scoreWeight))
        assertEquals(ClassKeypoints(1, listOf("stem", "leaf"), listOf(0 to 1), listOf(0.05, 0.05)), spec.classes[0])
        assertEquals(listOf("tip", "left", "right"), manifest.keypointNames(0))
        assertEquals(emptyList(), manifest.keypointNames(2))
        val fits = "the last graph needs an output 'keypoints' of keypoints, float32 [1, 4, 5, 7]"
        val reasons = mapOf(
            "of_version_4" to "keypoints, which a bundle of version 4 has not",
            "and_masks" to "graph m is missing",
            "output_unknown" to "needs an output 'points' of keypoints",
            "output_of_indices" to fits,
            "output_of_other_queries" to fits,
            "output_of_eight_channels" to fits,
            "class_twice" to "postprocess.keypoints names a class twice",
            "class_unknown" to "is of class 3, which there is not",
            "sigmas_short" to "has 1 sigmas for 2 keypoints",
            "skeleton_beyond" to "joins keypoints 0 and 2 of 2",
            "skeleton_of_three" to "not an array of two numbers",
        )
        for ((name, reason) in reasons) {
            val refusal = assertFailsWith<BundleException>(name) { ManifestReader.read(text("keypoints_$name")) }
            assertTrue(reason in refusal.message!!, refusal.message)
        }
    }

    @Test
    fun aFourthChannelIsRefusedInOneClearLine() {
        val text = cases.first { it.text("name") == "sound" }.text("text").replaceFirst("\"RGB\"", "\"RGBA\"")
        val refusal = assertFailsWith<BundleException> { ManifestReader.read(text) }
        assertTrue("channels is RGBA, but this app feeds pictures without opacity" in refusal.message!!, refusal.message)
    }

    @Test
    fun aManifestsFieldsAreRead() {
        val manifest = ManifestReader.read(cases.first { it.text("name") == "sound" }.text("text"))
        assertEquals("cells", manifest.variant)
        assertEquals(listOf(1, 3, 8, 8), manifest.graphA.inputs.single().shape)
        assertEquals(listOf("topk", "gather", "gather"), manifest.hostStep.ops.map { it.op })
        assertEquals(listOf("red", "green", "blue"), manifest.classes)
        assertEquals(0.3, manifest.golden?.threshold)
    }

    @Test
    fun anUnusedClassIndexIsNamedByItsNumber() {
        val manifest = ManifestReader.read(cases.first { it.text("name") == "classes_null" }.text("text"))
        assertEquals("class 1", manifest.className(1))
    }

    @Test
    fun jsonRoundTrips() {
        val value = mapOf(
            "text" to "quote \" back \\ line \n tab \t Ü 🙂",
            "numbers" to listOf(1L, -2.5, 1e-7, Long.MAX_VALUE),
            "nothing" to null,
            "flags" to listOf(true, false),
            "empty" to listOf(emptyMap<String, Any>(), emptyList<Any>()),
        )
        assertEquals<Any?>(value, JsonParser.parse(JsonWriter.write(value)))
        assertEquals("é/\u0001", JsonParser.parse(" \"\\u00e9\\/\\u0001\" "))
        assertFailsWith<IllegalArgumentException> { JsonWriter.write(Double.NaN) }
    }

    @Test
    fun invalidJsonIsRefused() {
        val texts = listOf(
            "", "{", "[1,]", "{\"a\":1,}", "{'a':1}", "{a:1}", "nul", "01", "1.", "-", "+1", "1e", "\"a", "\"\\x\"",
            "\"\\u12g4\"", "\"\u0001\"", "[1 2]", "{\"a\" 1}", "{\"a\":1,\"a\":2}", "1 2", "NaN", "1e999",
            "[".repeat(70) + "]".repeat(70),
        )
        for (text in texts) assertFailsWith<JsonSyntaxException>(text) { JsonParser.parse(text) }
    }
}
