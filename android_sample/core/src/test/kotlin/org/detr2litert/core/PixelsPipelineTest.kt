package org.detr2litert.core

import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.decode.Detections
import org.detr2litert.core.engine.CompiledForm
import org.detr2litert.core.engine.EngineException
import org.detr2litert.core.engine.FormInUse
import org.detr2litert.core.engine.GraphForm
import org.detr2litert.core.engine.Processor
import org.detr2litert.core.engine.forms
import org.detr2litert.core.parity.ParityRun
import org.detr2litert.core.parity.TensorFileException
import org.detr2litert.core.parity.TensorFiles
import org.detr2litert.core.pipeline.DetectorPipeline
import org.detr2litert.core.preprocess.Picture
import org.detr2litert.core.preprocess.Preprocessor
import org.detr2litert.core.tensor.ByteTensor
import org.detr2litert.core.tensor.DType
import org.detr2litert.core.tensor.FloatTensor
import org.detr2litert.core.tensor.Safetensors
import org.detr2litert.core.tensor.TensorSpec
import org.junit.Rule
import org.junit.rules.TemporaryFolder
import java.io.File
import java.lang.management.ManagementFactory
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import kotlin.test.assertTrue

/** A bundle whose native form takes the resized picture's pixels: which form gets which input. */
class PixelsPipelineTest {
    @get:Rule
    val folder = TemporaryFolder()

    private val bundle by lazy {
        val root = folder.newFolder("pixels")
        File(Goldens.root, "bundles/native").copyRecursively(root, overwrite = true)
        File(root, "manifest.json").apply { writeText(PixelManifests.of(readText())) }
        Bundle.open(root)
    }
    private val golden by lazy { Safetensors.read(bundle.file(assertNotNull(bundle.manifest.golden).tensors)) }
    private val picture by lazy {
        val case = Goldens.cases("bundles").first { it.name == "native" }
        val (height, width) = case.tensors.getValue("picture").shape
        Picture(width, height, case.ints("picture"))
    }

    private fun native() = DetectorPipeline(bundle, RecordedGraph(golden), RecordedGraph(golden), FormInUse(GraphForm.NATIVE))

    @Test
    fun onlyTheNativeGraphAHasAnotherInput() {
        val (native, portable) = bundle.manifest.forms(Processor.GPU)
        assertEquals(listOf(TensorSpec("pixels", listOf(1, 8, 8, 3), DType.UINT8)), native.a.inputs)
        assertEquals(bundle.manifest.graphA, portable.a)
        assertEquals(portable.a.copy(file = native.a.file), native.a.copy(inputs = portable.a.inputs))
        assertEquals(portable.b, native.b?.copy(file = "graph_b.tflite"))
        assertEquals(listOf(portable), bundle.manifest.forms(Processor.CPU))
    }

    /** The native form gets pixels; once a graph of it is refused, the portable one gets the floats that they are made to. */
    @Test
    fun eachFormGetsItsInput() {
        val preprocessor = Preprocessor(bundle.manifest.preprocess)
        val pixels = ByteArray(preprocessor.size).also { preprocessor.run(picture, it) }
        val floats = FloatArray(preprocessor.size).also { preprocessor.run(picture, it) }
        val found = listOf("nothing", "graph_b.native.tflite").map { refused ->
            val compiled = CompiledForm.first(bundle.manifest.forms(Processor.GPU)) { spec, _: RecordedGraph? ->
                if (spec.file == refused) throw EngineException(EngineException.Kind.GPU_REFUSED, refused)
                RecordedGraph(golden)
            }
            val detections = DetectorPipeline(bundle, compiled.a, compiled.b, compiled.inUse).use { pipeline ->
                Detections(pipeline.capacity).also { pipeline.detect(picture, 0.3f, null, it) }
            }
            val (name, input) = compiled.a.written.entries.single()
            if (compiled.inUse.form == GraphForm.NATIVE) {
                assertEquals("pixels" to listOf(1, 8, 8, 3), name to input.shape)
                assertContentEquals(pixels, (input as ByteTensor).data)
            } else {
                assertEquals("image" to listOf(1, 3, 8, 8), name to input.shape)
                assertContentEquals(floats, (input as FloatTensor).data)
            }
            compiled.inUse.form to detections.classIndex.take(detections.count)
        }
        assertEquals(listOf(GraphForm.NATIVE, GraphForm.PORTABLE), found.map { it.first })
        assertTrue(found[0].second.isNotEmpty() && found[0].second == found[1].second, "the same is read and decoded")
    }

    @Test
    fun aFormThatTheBundleLacksIsRefused() {
        val other = Bundle.open(File(Goldens.root, "bundles/hand_made"))
        val error = assertFailsWith<IllegalArgumentException> {
            DetectorPipeline(other, RecordedGraph(golden), RecordedGraph(golden), FormInUse(GraphForm.NATIVE))
        }
        assertEquals("the bundle has no native form", error.message)
    }

    /** As [PipelineTest.aFrameAllocatesNothing]. */
    @Test
    fun aFrameOfPixelsAllocatesNothing() = native().use { pipeline ->
        val threads = ManagementFactory.getThreadMXBean() as com.sun.management.ThreadMXBean
        val found = Detections(pipeline.capacity)
        repeat(3) { pipeline.detect(picture, 0.1f, 0.5f, found) }
        val before = threads.currentThreadAllocatedBytes
        repeat(10) { pipeline.detect(picture, 0.1f, 0.5f, found) }
        val each = (threads.currentThreadAllocatedBytes - before) / 10
        assertTrue(each <= 1024, "$each bytes a frame")
    }

    @Test
    fun aParityRunOfTheNativeFormIsGivenPixels() {
        val root = folder.newFolder()
        val a = RecordedGraph(golden)
        DetectorPipeline(bundle, a, RecordedGraph(golden), FormInUse(GraphForm.NATIVE)).use { pipeline ->
            val run = ParityRun(pipeline, root)
            TensorFiles.write(File(root, "in/a"), "image", FloatTensor(listOf(1, 3, 8, 8)))
            assertFailsWith<TensorFileException> { run.run(0, 1) }.let { assertEquals("a/pixels.u8 is missing", it.message) }
            TensorFiles.write(File(root, "in/a"), "pixels", ByteTensor(listOf(3)))
            val error = assertFailsWith<TensorFileException> { run.run(0, 1) }
            assertEquals("a/pixels.u8 has 3 bytes, not 192 for uint8[1, 8, 8, 3]", error.message)
            val pixels = ByteTensor(listOf(1, 8, 8, 3), ByteArray(192) { it.toByte() })
            assertEquals("pixels.u8", TensorFiles.write(File(root, "in/a"), "pixels", pixels).name)
            run.run(warmUp = 0, runs = 1)
            assertContentEquals(pixels.data, (a.written.getValue("pixels") as ByteTensor).data)
            assertEquals(setOf("pixels"), a.written.keys)
            assertEquals(setOf("a", "host", "b"), run.tensors.map { it.getValue("stage") }.toSet())
        }
    }
}
