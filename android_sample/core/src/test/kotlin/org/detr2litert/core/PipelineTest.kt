package org.detr2litert.core

import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.decode.Detections
import org.detr2litert.core.engine.FormInUse
import org.detr2litert.core.engine.GraphForm
import org.detr2litert.core.pipeline.DetectorPipeline
import org.detr2litert.core.pipeline.Stage
import org.detr2litert.core.preprocess.Picture
import org.detr2litert.core.tensor.FloatTensor
import org.detr2litert.core.tensor.IntTensor
import org.detr2litert.core.tensor.Safetensors
import java.io.File
import java.lang.management.ManagementFactory
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import kotlin.test.assertSame
import kotlin.test.assertTrue

/**
 * The pipeline from picture to detections on complete bundles, with graphs replayed from their golden vectors.
 * Pre-processing within 1e-5, the host step within 1e-5 of its largest value, detections as in [DecodeTest].
 */
class PipelineTest {
    private fun bundles(): List<File> = File(Goldens.root, "bundles").listFiles { file -> file.isDirectory }.orEmpty().sorted()

    @Test
    fun everyBundleDetectsWhatPythonDetects() {
        assertTrue(bundles().isNotEmpty())
        for (root in bundles()) {
            val bundle = Bundle.open(root)
            val golden = Safetensors.read(bundle.file(assertNotNull(bundle.manifest.golden).tensors))
            val case = Goldens.cases("bundles").first { it.name == root.name }
            val a = RecordedGraph(golden)
            val b = bundle.manifest.graphB?.let { RecordedGraph(golden) }
            val m = bundle.manifest.graphM?.let { graphM(case) }
            DetectorPipeline(bundle, a, b, graphM = m).use { pipeline ->
                val (height, width) = case.tensors.getValue("picture").shape
                val found = Detections(pipeline.capacity)
                val threshold = case.settings.number("threshold").toFloat()
                repeat(ROUNDS) { pipeline.detect(Picture(width, height, case.ints("picture")), threshold, null, found) }

                assertClose(case.floats("input"), (pipeline.input as FloatTensor).data, 1e-5f, "${root.name}: input")
                for ((name, tensor) in pipeline.tensorsHost) {
                    val expected = golden.getValue(name)
                    assertClose(expected, tensor, 1e-5f * HostCases.largest(expected), "${root.name}: $name")
                }
                assertEquals(case.ints("found.class_index").toList(), found.classIndex.take(found.count), root.name)
                assertClose(case.floats("found.score"), found.score.copyOf(found.count), 2e-7f, root.name)
                assertClose(case.floats("found.boxes"), found.boxes.copyOf(4 * found.count), 1e-4f, root.name)

                if (m != null) {
                    assertEquals(case.settings.texts("masks"), found.masks.take(found.count).map { it?.counts() }, root.name)
                    val kept = case.tensors["m.kept"] as? IntTensor // absent where nothing is detected
                    assertEquals(kept?.data?.toList(), (m.written["kept"] as? IntTensor)?.data?.toList())
                }
                assertEquals(ROUNDS, a.ran)
                assertEquals(bundle.manifest.graphB?.inputs?.map { it.name }?.toSet(), b?.written?.keys)
                assertTrue(Stage.entries.all { pipeline.times.latest(it) >= 0f && pipeline.times.median(it) >= 0f })
                println(timing(root.name, pipeline))
            }
            assertTrue(a.closed && b?.closed != false && m?.closed != false)
        }
    }

    /** Replays what Python's graph M gives for the queries of the golden detections. */
    private fun graphM(case: Goldens.Case) = RecordedGraph(case.tensors["m.masks"]?.let { mapOf("masks" to it) }.orEmpty())

    /** The host step gives int32 indices of shape [K], which graph B reads beside graph A's memory. */
    @Test
    fun indicesOfTheHostStepAreWrittenToGraphB() {
        val bundle = Bundle.open(File(Goldens.root, "bundles/native"))
        val golden = Safetensors.read(bundle.file(assertNotNull(bundle.manifest.golden).tensors))
        val (a, b) = RecordedGraph(golden) to RecordedGraph(golden)
        val form = FormInUse(GraphForm.PORTABLE, "graph_b.native.tflite does not run whole")
        DetectorPipeline(bundle, a, b, form).use { pipeline ->
            assertEquals(form, pipeline.form)
            pipeline.runA()
            assertEquals(setOf("enc_scores", "memory"), a.wasRead, "memory is read, since no buffer is shared")
            pipeline.runHost()
            pipeline.runB()
            val indices = b.written.getValue("indices") as IntTensor
            assertEquals(listOf(QUERIES), indices.shape)
            assertEquals(listOf(6, 12, 0, 1), indices.data.toList())
            assertSame(pipeline.tensorsHost.getValue("indices"), indices, "no copy between the stages")
        }
        RecordedGraph(golden).let { shared ->
            DetectorPipeline(bundle, shared, RecordedGraph(golden, setOf("memory"))).use { it.runA() }
            assertEquals(setOf("enc_scores"), shared.wasRead, "only what the host step reads")
        }
    }

    /** Boxes and logits alone are read; there is no host step. */
    @Test
    fun oneGraphRunsWithoutAHostStep() {
        val bundle = Bundle.open(File(Goldens.root, "bundles/one_graph"))
        val golden = Safetensors.read(bundle.file(assertNotNull(bundle.manifest.golden).tensors))
        val a = RecordedGraph(golden)
        DetectorPipeline(bundle, a, null).use { pipeline ->
            pipeline.detect(Picture(8, 8), 0.5f, null, Detections(pipeline.capacity))
            assertEquals(setOf("boxes", "logits"), a.wasRead)
            assertEquals(0f, pipeline.times.latest(Stage.HOST) + pipeline.times.latest(Stage.RUN_B))
            assertEquals(emptySet(), pipeline.tensorsHost.keys + pipeline.tensorsB.keys)
            pipeline.runA(all = true)
            assertEquals(setOf("boxes", "logits", "indices"), a.wasRead)
        }
        assertFailsWith<IllegalArgumentException> { DetectorPipeline(bundle, a, RecordedGraph(golden)) }
    }

    @Test
    fun inputsThatShareABufferAreNotWritten() {
        val root = bundles().first()
        val bundle = Bundle.open(root)
        val golden = Safetensors.read(bundle.file(assertNotNull(bundle.manifest.golden).tensors))
        val bound = assertNotNull(bundle.manifest.graphB).inputs.first().name
        val b = RecordedGraph(golden, setOf(bound))
        DetectorPipeline(bundle, RecordedGraph(golden), b).use { pipeline ->
            (pipeline.input as FloatTensor).data.fill(0f)
            pipeline.runA()
            pipeline.runHost()
            pipeline.runB()
            assertTrue(bound !in b.written)
            pipeline.runB(writeBound = true)
            assertTrue(bound in b.written)
        }
    }

    /** Allocations on the calling thread as counted by HotSpot, with an allowance for a semaphore's queue nodes. */
    @Test
    fun aFrameAllocatesNothing() {
        val threads = ManagementFactory.getThreadMXBean() as com.sun.management.ThreadMXBean
        for (root in bundles()) {
            val bundle = Bundle.open(root)
            val golden = Safetensors.read(bundle.file(assertNotNull(bundle.manifest.golden).tensors))
            val b = bundle.manifest.graphB?.let { RecordedGraph(golden) }
            val m = bundle.manifest.graphM?.let { graphM(Goldens.cases("bundles").first { it.name == root.name }) }
            DetectorPipeline(bundle, RecordedGraph(golden), b, graphM = m).use { pipeline ->
                val picture = Picture(97, 61)
                val found = Detections(pipeline.capacity)
                repeat(3) { pipeline.detect(picture, 0.1f, 0.5f, found) }
                val before = threads.currentThreadAllocatedBytes
                repeat(FRAMES) { pipeline.detect(picture, 0.1f, 0.5f, found) }
                val each = (threads.currentThreadAllocatedBytes - before) / FRAMES
                val masks = found.masks.take(found.count).filterNotNull().distinct().size
                val points = found.keypoints.take(found.count).sumOf { it?.count ?: 0 }
                val allowed = 1024 + 512 * masks + 64 * points
                assertTrue(each <= allowed, "${root.name}: $each bytes a frame with $masks masks and $points keypoints")
                println("${root.name}: $each bytes allocated a frame")
            }
        }
    }

    private fun timing(name: String, pipeline: DetectorPipeline): String {
        val parts = listOf(Stage.PREPROCESS, Stage.HOST, Stage.DECODE).joinToString { stage ->
            "${stage.label} %.1f ms".format(pipeline.times.median(stage))
        }
        return "$name on this JVM, median of $ROUNDS runs: $parts"
    }

    private companion object {
        const val ROUNDS = 15
        const val FRAMES = 10
        const val QUERIES = 4
    }
}
