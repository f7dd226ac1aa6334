package org.detr2litert.core

import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.decode.Covariance
import org.detr2litert.core.decode.Decoder
import org.detr2litert.core.decode.Detections
import org.detr2litert.core.decode.Keypoint
import org.detr2litert.core.decode.Keypoints
import org.detr2litert.core.decode.toList
import org.detr2litert.core.draw.Letterbox
import org.detr2litert.core.draw.SkeletonDrawing
import org.detr2litert.core.draw.SkeletonPen
import org.detr2litert.core.manifest.KeypointsReader
import org.detr2litert.core.manifest.ManifestReader
import org.detr2litert.core.manifest.PostprocessSpec
import org.detr2litert.core.pipeline.DetectorPipeline
import org.detr2litert.core.preprocess.Picture
import org.detr2litert.core.tensor.Safetensors
import java.io.File
import kotlin.math.abs
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue

class KeypointTest {
    /**
     * Identical detections in identical order, as in [DecodeTest]: scores within 2e-7, also those of keypoints; places within 1e-4
     * pixels. Covariances within 1e-6 of their value, absent where Python has none.
     */
    @Test
    fun decodesWhatPythonDecodes() {
        for (case in Goldens.cases("keypoints")) {
            val settings = case.settings
            val (_, queries, classes) = case.tensors.getValue("logits").shape
            val points = KeypointsReader.read(settings.child("keypoints"))
            val ignored = settings.wholes("ignored_classes")
            val spec = PostprocessSpec(settings.whole("num_select"), "boxes", "logits", ignored, keypoints = points)
            val input = if (settings.has("preprocess")) ManifestReader.preprocess(settings.child("preprocess")) else null
            val decoder = Decoder(spec, queries, classes, input)
            val found = Detections(decoder.capacity)
            val nms = if (settings.raw("nms_iou") == null) null else settings.number("nms_iou").toFloat()
            val across = settings.flag("nms_across_classes")
            val threshold = settings.number("threshold").toFloat()
            val (boxes, logits) = case.floats("boxes") to case.floats("logits")
            for (round in 1..2) {
                decoder.decode(boxes, logits, 640, 427, threshold, nms, found, across, case.floats("keypoints"))
                assertEquals(case.ints("found.class_index").toList(), found.classIndex.take(found.count), case.name)
                assertClose(case.floats("found.score"), found.score.copyOf(found.count), 2e-7f, case.name)
                assertClose(case.floats("found.boxes"), found.boxes.copyOf(4 * found.count), 1e-4f, case.name)
                checkKeypoints(case, found)
            }
        }
    }

    @Test
    fun theBundlesDetectionsHaveTheKeypointsOfTheirClass() {
        val case = Goldens.cases("bundles").first { it.name == "keypoints" }
        val a = RecordedGraph(golden)
        DetectorPipeline(bundle, a, null).use { pipeline ->
            val found = Detections(pipeline.capacity)
            val (height, width) = case.tensors.getValue("picture").shape
            val threshold = case.settings.number("threshold").toFloat()
            pipeline.detect(Picture(width, height, case.ints("picture")), threshold, null, found)
            checkKeypoints(case, found)
            assertEquals(setOf("boxes", "logits", "keypoints"), a.wasRead)
            val values = found.toList(bundle.manifest)
            assertEquals(listOf("red", "green"), values.map { it.className })
            val names = values.map { item -> item.keypoints?.map { it.name } }
            assertEquals(listOf(listOf("tip", "left", "right"), listOf("stem", "leaf")), names)
            val first = assertNotNull(found.keypoints[0])
            assertEquals(first.toList(listOf("tip", "left", "right")), values[0].keypoints)
            assertEquals(
                Keypoint("left", first.x(1), first.y(1), first.score(1), first.covariance(1)),
                values[0].keypoints?.get(1),
            )

            val copy = Detections(pipeline.capacity).apply { copyFrom(found) }
            assertEquals(found.keypoints.take(2), copy.keypoints.take(2))
            copy.move(1, 0)
            assertEquals(found.keypoints[1], copy.keypoints[0])
            pipeline.decode(width, height, 0f, null, found)
            assertTrue(found.count > 2, "more with a lower threshold, decoded again")
            assertTrue((0 until found.count).all { (found.keypoints[it] == null) == (found.classIndex[it] == BLUE) })
        }
    }

    @Test
    fun valuesThatAreNotFiniteOrMissingAreRefused() {
        val spec = PostprocessSpec(4, "boxes", "logits", emptyList(), keypoints = bundle.manifest.postprocess.keypoints)
        val decoder = Decoder(spec, 1, 3)
        val into = Detections(3)
        val (boxes, logits) = FloatArray(4) to FloatArray(3)
        for (odd in listOf(Float.NaN, Float.POSITIVE_INFINITY)) {
            val points = FloatArray(35).apply { this[34] = odd }
            val error = assertFailsWith<GraphOutputException> {
                decoder.decode(boxes, logits, 8, 8, 0.5f, null, into, keypoints = points)
            }
            assertTrue("'keypoints' contains NaN or infinity" in error.message!!, error.message)
        }
        assertFailsWith<IllegalArgumentException> { decoder.decode(boxes, logits, 8, 8, 0.5f, null, into) }
        assertFailsWith<IllegalArgumentException> {
            decoder.decode(boxes, logits, 8, 8, 0.5f, null, into, keypoints = FloatArray(28))
        }
    }

    @Test
    fun aPrecisionNearZeroHasNoCovariance() {
        val values = floatArrayOf(1f, 2f, 0.5f, Float.NaN, Float.NaN, Float.NaN, 3f, 4f, 1f, 5f, 6f, 7f)
        val points = Keypoints(values).toList(listOf("a", "b"))
        assertNull(points[0].covariance)
        assertEquals(Keypoint("b", 3f, 4f, 1f, Covariance(5f, 6f, 7f)), points[1])
    }

    /** Of a red object with a tip and two ends, of which one is not sure, below a better green one. */
    @Test
    fun linesAndPointsThatAreSureAreDrawnTheBestLast() {
        val found = Detections(2).apply {
            count = 2
            width = 100
            height = 50
            classIndex[0] = 1
            keypoints[0] = points(10f, 20f, 0.5f, 30f, 40f, 0.9f)
            keypoints[1] = points(50f, 0f, 1f, 20f, 40f, 0.5f, 80f, 40f, 0.49f)
        }
        val drawing = SkeletonDrawing(bundle.manifest)
        fun drawn(mirrored: Boolean): List<String> = ArrayList<String>().also { lines ->
            val letterbox = Letterbox().apply { fit(100, 50, 200, 300) }
            drawing.draw(found, letterbox, mirrored, intArrayOf(7, 8, 9), Notes(lines))
        }
        val expected = listOf(
            "7: 100.0, 100.0 to 40.0, 180.0",
            "7: 100.0, 100.0",
            "7: 40.0, 180.0",
            "8: 20.0, 140.0 to 60.0, 180.0",
            "8: 20.0, 140.0",
            "8: 60.0, 180.0",
        )
        assertEquals(expected, drawn(mirrored = false))
        assertEquals("7: 100.0, 100.0 to 160.0, 180.0", drawn(mirrored = true)[0])
        found.keypoints.fill(null)
        assertEquals(emptyList(), drawn(mirrored = false), "of classes without keypoints")
    }

    /** Writes down what is drawn. */
    private class Notes(private val lines: MutableList<String>) : SkeletonPen {
        override fun line(fromX: Float, fromY: Float, toX: Float, toY: Float, colour: Int) {
            lines += "$colour: $fromX, $fromY to $toX, $toY"
        }

        override fun point(x: Float, y: Float, colour: Int) {
            lines += "$colour: $x, $y"
        }
    }

    /** Keypoints of places and scores, without covariances. */
    private fun points(vararg values: Float): Keypoints {
        val all = values.toList().chunked(3).flatMap { it + listOf(Float.NaN, Float.NaN, Float.NaN) }
        return Keypoints(all.toFloatArray())
    }

    private fun checkKeypoints(case: Goldens.Case, found: Detections) {
        val points = found.keypoints.take(found.count)
        assertEquals(case.ints("found.keypoint_count").toList(), points.map { it?.count ?: 0 }, case.name)
        val all = points.filterNotNull().flatMap { own -> own.toList(List(own.count) { "$it" }) }
        val expected = case.floats("found.keypoints").toList().chunked(6)
        assertEquals(expected.size, all.size, case.name)
        for ((values, point) in expected.zip(all)) {
            assertClose(floatArrayOf(values[0], values[1]), floatArrayOf(point.x, point.y), 1e-4f, case.name)
            assertClose(floatArrayOf(values[2]), floatArrayOf(point.score), 2e-7f, case.name)
            val (xx, xy, yy) = values.drop(3)
            assertEquals(xx.isNaN(), point.covariance == null, case.name)
            val own = point.covariance ?: continue
            for ((one, other) in listOf(xx to own.xx, xy to own.xy, yy to own.yy)) {
                assertTrue(abs(one - other) <= 1e-6f * abs(one), "${case.name}: $other, not $one")
            }
        }
    }

    private val bundle by lazy { Bundle.open(File(Goldens.root, "bundles/keypoints")) }
    private val golden by lazy { Safetensors.read(bundle.file(assertNotNull(bundle.manifest.golden).tensors)) }

    private companion object {
        /** A class without keypoints. */
        const val BLUE = 2
    }
}
