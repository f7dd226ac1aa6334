package org.detr2litert.core

import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.engine.FormInUse
import org.detr2litert.core.engine.GraphForm
import org.detr2litert.core.json.JsonParser
import org.detr2litert.core.json.JsonWriter
import org.detr2litert.core.parity.ParityRun
import org.detr2litert.core.parity.TensorFileException
import org.detr2litert.core.parity.TensorFiles
import org.detr2litert.core.pipeline.DetectorPipeline
import org.detr2litert.core.tensor.DType
import org.detr2litert.core.tensor.FloatTensor
import org.detr2litert.core.tensor.IntTensor
import org.detr2litert.core.tensor.Safetensors
import org.detr2litert.core.tensor.Tensor
import org.junit.Rule
import org.junit.rules.TemporaryFolder
import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull

class ParityTest {
    @get:Rule
    val folder = TemporaryFolder()

    private val bundle by lazy { Bundle.open(File(Goldens.root, "bundles/hand_made")) }
    private val golden by lazy { Safetensors.read(bundle.file(assertNotNull(bundle.manifest.golden).tensors)) }

    private fun withRun(block: (ParityRun, File) -> Unit) {
        val root = folder.newFolder()
        DetectorPipeline(bundle, RecordedGraph(golden), RecordedGraph(golden)).use { block(ParityRun(it, root), root) }
    }

    @Test
    fun everyStageIsWrittenAndTimed() = withRun { run, root ->
        TensorFiles.write(File(root, "in/a"), "image", golden.getValue("image"))
        run.run(warmUp = 2, runs = 3)
        val files = root.walk().filter { it.isFile && "out" in it.path }.map { it.relativeTo(root).path }.toSet()
        val expected = setOf(
            "out/a/enc_scores.f32",
            "out/a/memory.f32",
            "out/host/selected_memory.f32",
            "out/host/selected_cells.f32",
            "out/b/boxes.f32",
            "out/b/logits.f32",
        )
        assertEquals(expected, files)
        assertEquals(expected, run.tensors.map { it.getValue("file") }.toSet())
        assertEquals(setOf("write_a", "run_a", "read_a", "host", "write_b", "run_b", "read_b"), run.milliseconds.keys)
        assertEquals(setOf(3), run.milliseconds.values.map { it.size }.toSet())
        val memory = FloatTensor(golden.getValue("memory").shape)
        TensorFiles.read(File(root, "out/a"), "memory", memory)
        assertClose(golden.getValue("memory"), memory, 0f, "memory")
        JsonParser.parse(JsonWriter.write(mapOf("tensors" to run.tensors, "milliseconds" to run.milliseconds)))
    }

    @Test
    fun stagesRunOnGivenTensorsToo() = withRun { run, root ->
        TensorFiles.write(File(root, "in/a"), "image", golden.getValue("image"))
        val scores = FloatTensor(golden.getValue("enc_scores").shape).apply { data[15] = 1f }
        TensorFiles.write(File(root, "in/host"), "enc_scores", scores)
        TensorFiles.write(File(root, "in/host"), "memory", golden.getValue("memory"))
        for (name in listOf(
            "selected_memory",
            "selected_cells",
        )) {
            TensorFiles.write(File(root, "in/b"), name, golden.getValue(name))
        }
        run.run(warmUp = 0, runs = 1)
        val cells = FloatTensor(listOf(1, 4, 4))
        TensorFiles.read(File(root, "out/host_given"), "selected_cells", cells)
        // The best cell is the last one, then by ties the first ones.
        assertEquals(listOf(0.875f, 0.875f, 0.125f, 0.125f), listOf(cells.data[0], cells.data[1], cells.data[4], cells.data[5]))
        assertEquals(2, File(root, "out/b_given").listFiles()?.size)
    }

    @Test
    fun inputsThatDoNotFitAreNamed() = withRun { run, root ->
        assertFailsWith<TensorFileException> { run.run(0, 1) }
        TensorFiles.write(File(root, "in/a"), "image", FloatTensor(listOf(3)))
        val error = assertFailsWith<TensorFileException> { run.run(0, 1) }
        assertEquals("a/image.f32 has 12 bytes, not 768 for float32[1, 3, 8, 8]", error.message)
    }

    @Test
    fun indicesAreGivenAndWrittenAsInt32() {
        val native = Bundle.open(File(Goldens.root, "bundles/native"))
        val golden = Safetensors.read(native.file(assertNotNull(native.manifest.golden).tensors))
        val root = folder.newFolder()
        val b = RecordedGraph(golden)
        DetectorPipeline(native, RecordedGraph(golden), b).use { pipeline ->
            TensorFiles.write(File(root, "in/a"), "image", golden.getValue("image"))
            TensorFiles.write(File(root, "in/b"), "memory", golden.getValue("memory"))
            TensorFiles.write(File(root, "in/b"), "indices", IntTensor(listOf(4), intArrayOf(3, 1, 4, 15)))
            val run = ParityRun(pipeline, root).apply { run(warmUp = 0, runs = 1) }
            val written = run.tensors.single { it.getValue("stage") == "host" }
            assertEquals(listOf("int32", listOf(4), "out/host/indices.i32"), listOf("dtype", "shape", "file").map(written::get))
        }
        val indices = IntTensor(listOf(4))
        TensorFiles.read(File(root, "out/host"), "indices", indices)
        assertEquals(listOf(6, 12, 0, 1), indices.data.toList())
        assertEquals(listOf(3, 1, 4, 15), (b.written.getValue("indices") as IntTensor).data.toList(), "graph B on in/b")
    }

    @Test
    fun oneGraphHasTheStagesOfGraphA() {
        val one = Bundle.open(File(Goldens.root, "bundles/one_graph"))
        val golden = Safetensors.read(one.file(assertNotNull(one.manifest.golden).tensors))
        val root = folder.newFolder()
        DetectorPipeline(one, RecordedGraph(golden), null).use { pipeline ->
            TensorFiles.write(File(root, "in/a"), "image", golden.getValue("image"))
            val run = ParityRun(pipeline, root).apply { run(warmUp = 1, runs = 2) }
            val files = setOf("out/a/boxes.f32", "out/a/logits.f32", "out/a/indices.i32")
            assertEquals(files, run.tensors.map { it.getValue("file") }.toSet())
            assertEquals(setOf("write_a", "run_a", "read_a"), run.milliseconds.keys)
        }
        val record = ParityRun.graphs(one.manifest, FormInUse(GraphForm.PORTABLE))
        assertEquals(listOf("graph_a.tflite", null), listOf(record["a"], record["b"]))
    }

    @Test
    fun graphMEndsTheChainOnTheQueriesGiven() {
        val masks = Bundle.open(File(Goldens.root, "bundles/masks"))
        val golden = Safetensors.read(masks.file(assertNotNull(masks.manifest.golden).tensors))
        val root = folder.newFolder()
        val m = RecordedGraph(golden)
        DetectorPipeline(masks, RecordedGraph(golden), null, graphM = m).use { pipeline ->
            val run = ParityRun(pipeline, root)
            TensorFiles.write(File(root, "in/a"), "image", golden.getValue("image"))
            assertFailsWith<TensorFileException> { run.run(0, 1) }.let { assertEquals("m/kept.i32 is missing", it.message) }
            TensorFiles.write(File(root, "in/m"), "kept", IntTensor(listOf(2), intArrayOf(3, 1)))
            run.run(warmUp = 1, runs = 2)
            assertEquals(setOf("a", "m"), run.tensors.map { it.getValue("stage") }.toSet(), "the embeddings are not given")
            assertEquals(setOf("write_a", "run_a", "read_a", "write_m", "run_m", "read_m"), run.milliseconds.keys)
            assertEquals(listOf(3, 1), (m.written.getValue("kept") as IntTensor).data.toList())
            assertClose(golden.getValue("mask_cells"), m.written.getValue("mask_cells"), 0f, "of the chain")
            val cells = FloatTensor(listOf(1, 4, 4, 3)).apply { data.fill(2f) }
            TensorFiles.write(File(root, "in/m"), "mask_cells", cells)
            TensorFiles.write(File(root, "in/m"), "mask_queries", golden.getValue("mask_queries"))
            run.run(warmUp = 0, runs = 1)
            assertClose(cells, m.written.getValue("mask_cells"), 0f, "given")
        }
        assertEquals(listOf("masks.f32"), File(root, "out/m_given").list()?.toList())
        val record = ParityRun.graphs(masks.manifest, FormInUse(GraphForm.PORTABLE))
        assertEquals("graph_m.tflite", record["m"])
    }

    @Test
    fun theRecordNamesTheForm() {
        val manifest = Bundle.peek(File(Goldens.root, "bundles/native"))
        assertEquals(
            mapOf(
                "form" to "native",
                "a" to "graph_a.tflite",
                "b" to "graph_b.native.tflite",
                "m" to null,
                "native_refused" to null,
            ),
            ParityRun.graphs(manifest, FormInUse(GraphForm.NATIVE)),
        )
        assertEquals(
            mapOf(
                "form" to "portable",
                "a" to "graph_a.tflite",
                "b" to "graph_b.tflite",
                "m" to null,
                "native_refused" to "no \"X\"",
            ),
            ParityRun.graphs(manifest, FormInUse(GraphForm.PORTABLE, "no \"X\"")),
        )
        JsonParser.parse(JsonWriter.write(ParityRun.graphs(manifest, FormInUse(GraphForm.PORTABLE, "no \"X\""))))
    }

    @Test
    fun everyFileNameIsInsideTheFolder() {
        assertEquals("%2E.%2F..%2Fa.f32", TensorFiles.name("../../a", DType.FLOAT32))
        assertEquals("enc_scores.f32", TensorFiles.name("enc_scores", DType.FLOAT32))
        assertEquals("a%3A0.i32", TensorFiles.name("a:0", DType.INT32))
        assertEquals("%C3%BC.i32", TensorFiles.name("ü", DType.INT32))
    }
}
