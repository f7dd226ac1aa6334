package org.detr2litert.core

import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.decode.Detections
import org.detr2litert.core.decode.Mask
import org.detr2litert.core.decode.MaskDecoder
import org.detr2litert.core.decode.toList
import org.detr2litert.core.manifest.ManifestReader
import org.detr2litert.core.pipeline.DetectorPipeline
import org.detr2litert.core.pipeline.GraphRunner
import org.detr2litert.core.pipeline.Stage
import org.detr2litert.core.preprocess.Picture
import org.detr2litert.core.tensor.FloatTensor
import org.detr2litert.core.tensor.IntTensor
import org.detr2litert.core.tensor.Safetensors
import org.detr2litert.core.tensor.Tensor
import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotEquals
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertSame
import kotlin.test.assertTrue

class MaskTest {
    /** Every pixel is the Python runtime's: the arithmetic is the same, in the same order. */
    @Test
    fun decodesTheMasksOfPython() {
        for (case in Goldens.cases("masks")) {
            val settings = case.settings
            val (_, rows, columns, room) = case.tensors.getValue("logits").shape
            val input = ManifestReader.preprocess(settings.child("preprocess"))
            val decoder = MaskDecoder(rows, columns, room, input, settings.text("activation") == "sigmoid")
            val boxes = case.floats("boxes")
            val (width, height) = settings.whole("width") to settings.whole("height")
            val expected = settings.texts("counts")
            assertEquals(room, expected.size, case.name)
            // Another picture before, of which nothing may be left.
            decoder.read(FloatArray(rows * columns * room) { 1f })
            decoder.decode(0, height + 1, width + 1)
            decoder.read(case.floats("logits"))
            for (index in 0 until room) {
                val mask = decoder.decode(index, width, height)
                assertEquals(expected[index], mask.counts(), "${case.name}: mask $index")
                val (left, top, right, bottom) = boxes.copyOfRange(4 * index, 4 * index + 4)
                val within = mask.within(left, top, right, bottom).counts()
                assertEquals(settings.texts("counts_within")[index], within, "${case.name}: mask $index, within its box")
                assertEquals(width to height, mask.width to mask.height)
            }
        }
    }

    @Test
    fun pixelsAndSegmentsAreThoseOfTheRunLengths() {
        val case = Goldens.cases("masks").first { it.name == "noise_97x61" }
        val (_, rows, columns, room) = case.tensors.getValue("logits").shape
        val decoder = MaskDecoder(rows, columns, room, ManifestReader.preprocess(case.settings.child("preprocess")))
        decoder.read(case.floats("logits"))
        val mask = decoder.decode(0, 97, 61)
        val drawn = Array(61) { BooleanArray(97) }
        var last = -1
        mask.forEachSegment { column, from, until ->
            assertTrue(column >= last && from < until && until <= 61, "$column: $from until $until")
            last = column
            for (row in from until until) drawn[row][column] = true
        }
        assertEquals(mask.area, drawn.sumOf { row -> row.count { it } })
        for (row in 0 until 61) for (column in 0 until 97) assertEquals(drawn[row][column], mask.contains(row, column))
        assertEquals(mask, decoder.decode(0, 97, 61))
        assertNotEquals(mask, decoder.decode(1, 97, 61))
    }

    /** A graph M that computes: the product of the cells with the queries kept, less one half, as the hand-made bundle's. */
    private class Product(private val detector: RecordedGraph, override val boundInputs: Set<String>) : GraphRunner {
        val calls = ArrayList<List<Int>>()
        val written = HashMap<String, Tensor>()
        val writes = ArrayList<String>()
        var closed = false

        override fun write(name: String, tensor: Tensor) {
            written[name] = tensor
            writes += name
        }

        fun embeddingsWritten() = writes.filter { it != "kept" }

        override fun run() {
            calls += kept.toList()
        }

        private val kept get() = (written.getValue("kept") as IntTensor).data

        private fun embedding(name: String): FloatTensor =
            (if (name in boundInputs) detector.recorded(name) else written.getValue(name)) as FloatTensor

        override fun read(name: String, into: Tensor) {
            val (queries, cells) = embedding("mask_queries") to embedding("mask_cells")
            val logits = (into as FloatTensor).data
            for (cell in 0 until CELLS) {
                for (index in kept.indices) {
                    val products =
                        List(CHANNELS) { cells.data[cell * CHANNELS + it] * queries.data[kept[index] * CHANNELS + it] }
                    logits[cell * kept.size + index] = products.reduce(Float::plus) - 0.5f
                }
            }
        }

        override fun close() {
            closed = true
        }
    }

    private val bundle by lazy { Bundle.open(File(Goldens.root, "bundles/masks")) }
    private val golden by lazy { Safetensors.read(bundle.file(assertNotNull(bundle.manifest.golden).tensors)) }

    /** Four queries of four colours, of which the third is detected as two classes. */
    private fun crowded(): Map<String, Tensor> {
        val classes = bundle.manifest.classes.size
        val logits = FloatTensor(listOf(1, QUERIES, classes)).apply { data.fill(-9f) }
        for ((place, at) in listOf(0, 4, 8, 6, 10).withIndex()) logits.data[at] = 5f - place
        val queries = FloatTensor(listOf(1, QUERIES, CHANNELS)).apply { for (at in data.indices) data[at] = at / 12f }
        val cells = FloatTensor(listOf(1, 4, 4, CHANNELS)).apply { for (at in data.indices) data[at] = (at * 7 % 11) / 11f }
        return golden + mapOf("logits" to logits, "mask_queries" to queries, "mask_cells" to cells)
    }

    @Test
    fun eachDetectionHasTheMaskOfItsQueryAndOnlyThoseAreComputed() {
        for (bound in listOf(emptySet(), setOf("mask_queries", "mask_cells"))) {
            val a = RecordedGraph(crowded())
            val product = Product(a, bound)
            DetectorPipeline(bundle, a, null, graphM = product).use { pipeline ->
                val found = Detections(pipeline.capacity)
                val picture = Picture(90, 62)
                pipeline.detect(picture, 0.5f, null, found)
                assertEquals(listOf(0, 1, 2, 2), found.query.take(found.count))
                assertEquals(listOf(listOf(0, 1), listOf(2, 0)), product.calls, "two at a time, each once")
                val embeddings = setOf("mask_queries", "mask_cells") - bound
                assertEquals(setOf("boxes", "logits") + embeddings, a.wasRead, "what stays in its buffer is not read")
                assertEquals(embeddings.sorted(), product.embeddingsWritten().sorted(), "once a picture")
                assertSame(found.masks[2], found.masks[3])
                assertEquals(3, found.masks.take(4).toSet().size)
                assertEquals(90 to 62, found.masks[0]?.let { it.width to it.height })
                assertEquals(found.masks.take(4), found.toList(bundle.manifest).map { it.mask })
                val copy = Detections(pipeline.capacity).apply { copyFrom(found) }
                assertEquals(found.masks.take(4), copy.masks.take(4))

                // A higher threshold decodes again, with what is in graph M's buffers.
                val first = found.masks[0]
                pipeline.decode(90, 62, 0.99f, null, found)
                assertEquals(listOf(0), found.query.take(found.count))
                assertEquals(listOf(0, 0), product.calls.last())
                assertEquals(first, found.masks[0])
                assertEquals(embeddings.sorted(), product.embeddingsWritten().sorted())
                pipeline.detect(picture, 0.9999f, null, found)
                assertEquals(3, product.calls.size, "where nothing is found, graph M does not run")
                pipeline.detect(picture, 0.5f, null, found)
                assertEquals(2 * embeddings.size, product.embeddingsWritten().size)
                assertTrue(Stage.OF_GRAPH_M.all { it in pipeline.stages })
            }
            assertTrue(a.closed && product.closed)
        }
    }

    @Test
    fun graphMIsThereIfAndOnlyIfTheBundleHasMasks() {
        val a = RecordedGraph(golden)
        assertFailsWith<IllegalArgumentException> { DetectorPipeline(bundle, a, null) }
        val one = Bundle.open(File(Goldens.root, "bundles/one_graph"))
        assertFailsWith<IllegalArgumentException> { DetectorPipeline(one, a, null, graphM = a) }
        DetectorPipeline(one, a, null).use { pipeline ->
            val found = Detections(pipeline.capacity)
            pipeline.detect(Picture(8, 8), 0.1f, null, found)
            assertTrue(found.count > 0)
            assertNull(found.masks[0])
            assertEquals(emptySet(), pipeline.tensorsM.keys + pipeline.inputsOfM.keys)
        }
    }

    @Test
    fun aMaskIsMovedWithItsDetection() {
        val found = Detections(2)
        val masks = List(2) { Mask(2, 1, intArrayOf(it, 2 - it)) }
        found.masks[1] = masks[1]
        found.query[1] = 7
        found.move(1, 0)
        assertEquals(7 to masks[1], found.query[0] to found.masks[0])
    }

    private companion object {
        const val CELLS = 16
        const val CHANNELS = 3
        const val QUERIES = 4
    }
}
