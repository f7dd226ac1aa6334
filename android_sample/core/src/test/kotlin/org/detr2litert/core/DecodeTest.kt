package org.detr2litert.core

import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.decode.Decoder
import org.detr2litert.core.decode.Detections
import org.detr2litert.core.decode.toList
import org.detr2litert.core.manifest.ManifestReader
import org.detr2litert.core.manifest.PostprocessSpec
import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class DecodeTest {
    /** Identical detections in identical order. Scores within 2e-7 (one float32 step of exp), boxes within 1e-4 pixels. */
    @Test
    fun agreesWithPython() {
        for (case in Goldens.cases("decodes")) {
            val settings = case.settings
            val (_, queries, classes) = case.tensors.getValue("logits").shape
            val spec = PostprocessSpec(settings.whole("num_select"), "boxes", "logits", settings.wholes("ignored_classes"))
            val input = if (settings.has("preprocess")) ManifestReader.preprocess(settings.child("preprocess")) else null
            val decoder = Decoder(spec, queries, classes, input)
            val across = settings.flag("nms_across_classes")
            val found = Detections(decoder.capacity)
            val nms = if (settings.raw("nms_iou") == null) null else settings.number("nms_iou").toFloat()
            val threshold = settings.number("threshold").toFloat()
            for (round in 1..2) {
                decoder.decode(case.floats("boxes"), case.floats("logits"), 640, 427, threshold, nms, found, across)
                assertEquals(case.ints("found.class_index").toList(), found.classIndex.take(found.count), case.name)
                assertClose(case.floats("found.score"), found.score.copyOf(found.count), 2e-7f, case.name)
                assertClose(case.floats("found.boxes"), found.boxes.copyOf(4 * found.count), 1e-4f, case.name)
            }
            assertEquals(640 to 427, found.width to found.height)
        }
    }

    @Test
    fun notANumberIsRefused() {
        val decoder = Decoder(PostprocessSpec(2, "boxes", "logits", emptyList()), 2, 1)
        val into = Detections(2)
        val good = FloatArray(8)
        assertFailsWith<GraphOutputException> {
            decoder.decode(good, floatArrayOf(0f, Float.NaN), 8, 8, 0.5f, null, into)
        }
        good[3] = Float.NaN
        assertFailsWith<GraphOutputException> { decoder.decode(good, floatArrayOf(0f, 0f), 8, 8, 0.5f, null, into) }
    }

    @Test
    fun detectionsAreCopied() {
        val decoder = Decoder(PostprocessSpec(3, "boxes", "logits", emptyList()), 3, 1)
        val found = Detections(3)
        decoder.decode(FloatArray(12) { 0.5f }, floatArrayOf(3f, -9f, 5f), 10, 20, 0.5f, null, found)
        val copy = Detections(3)
        copy.copyFrom(found)
        assertEquals(2, copy.count)
        assertEquals(10 to 20, copy.width to copy.height)
        assertEquals(found.boxes.take(8), copy.boxes.take(8))
        assertEquals(listOf(2.5f, 5f, 7.5f, 15f), listOf(copy.left(0), copy.top(0), copy.right(0), copy.bottom(0)))
    }

    @Test
    fun immutableDetectionsHaveTheManifestsNames() {
        val manifest = Bundle.peek(File(Goldens.root, "bundles/hand_made"))
        val classes = manifest.classes.size
        val decoder = Decoder(PostprocessSpec(2, "boxes", "logits", emptyList()), 2, classes)
        val found = Detections(2)
        val logits = FloatArray(2 * classes) { -9f }
        logits[classes - 1] = 2f
        logits[classes] = 3f
        val boxes = floatArrayOf(0.5f, 0.5f, 0.5f, 0.5f, 0.25f, 0.25f, 0.5f, 0.5f)
        decoder.decode(boxes, logits, 10, 20, 0.5f, null, found)
        val values = found.toList(manifest)
        found.clear()
        assertEquals(listOf(0, classes - 1), values.map { it.classIndex })
        assertEquals(listOf(manifest.className(0), manifest.className(classes - 1)), values.map { it.className })
        assertTrue(values[0].score > values[1].score)
        assertEquals(listOf(0f, 0f, 5f, 10f), values[0].run { listOf(left, top, right, bottom) })
        assertEquals(listOf(2.5f, 5f, 7.5f, 15f), values[1].run { listOf(left, top, right, bottom) })
        assertEquals(emptyList(), found.toList(manifest))
    }
}
