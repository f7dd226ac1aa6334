package org.detr2litert.core

import org.detr2litert.core.decode.Detections
import org.detr2litert.core.decode.Mask
import org.detr2litert.core.draw.ClassColours
import org.detr2litert.core.draw.LabelPlacer
import org.detr2litert.core.draw.Letterbox
import org.detr2litert.core.draw.MaskLayer
import org.detr2litert.core.pipeline.Stage
import org.detr2litert.core.pipeline.StageTimes
import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertTrue

class DrawTest {
    @Test
    fun masksAreTranslucentAndTheBestOnTop() {
        val found = Detections(3)
        val layer = MaskLayer()
        found.count = 2
        assertFalse(layer.paint(found, IntArray(3)), "no masks")
        found.width = 3
        found.height = 2
        // Columns 0 and 1, and the lower pixels of 1 and 2.
        found.masks[0] = Mask(3, 2, intArrayOf(0, 4, 2))
        found.masks[1] = Mask(3, 2, intArrayOf(3, 1, 1, 1))
        found.classIndex[1] = 2
        val colours = intArrayOf(0xFF102030.toInt(), 0, 0xFF405060.toInt())
        assertTrue(layer.paint(found, colours))
        val (best, other) = (110 shl 24 or 0x102030) to (110 shl 24 or 0x405060)
        assertEquals(listOf(best, best, 0, best, best, other), layer.pixels.toList())
        found.masks[0] = null
        assertTrue(layer.paint(found, colours))
        assertEquals(listOf(0, 0, 0, 0, other, other), layer.pixels.toList(), "nothing is left of the last picture")
    }

    @Test
    fun theLayerOfMasksIsPythons() {
        for (case in Goldens.cases("mask_layers")) {
            val masks = case.settings.objects("masks")
            val found = Detections(masks.size).apply {
                count = masks.size
                width = case.settings.whole("width")
                height = case.settings.whole("height")
            }
            masks.forEachIndexed { index, mask ->
                found.classIndex[index] = mask.whole("class_index")
                found.masks[index] = Mask(found.width, found.height, mask.wholes("runs").toIntArray())
            }
            val layer = MaskLayer()
            val isPainted = layer.paint(found, IntArray(CLASSES) { ClassColours.of(it) })
            assertEquals(masks.isNotEmpty(), isPainted, case.name)
            if (isPainted) assertEquals(case.ints("layer").toList(), layer.pixels.toList(), case.name)
        }
    }

    @Test
    fun aWidePictureGetsBarsAboveAndBelow() {
        val box = Letterbox().apply { fit(200, 100, 400, 400) }
        assertEquals(listOf(2f, 0f, 100f), listOf(box.scale, box.offsetX, box.offsetY))
        assertEquals(400f to 300f, box.toViewX(200f) to box.toViewY(100f))
        assertEquals(50f to 25f, box.toPictureX(100f) to box.toPictureY(150f))
    }

    @Test
    fun aTallPictureGetsBarsAtTheSides() {
        val box = Letterbox().apply { fit(100, 200, 400, 400) }
        assertEquals(listOf(2f, 100f, 0f), listOf(box.scale, box.offsetX, box.offsetY))
    }

    @Test
    fun anEmptyPictureDoesNotDivideByZero() {
        val box = Letterbox().apply { fit(0, 0, 400, 400) }
        assertEquals(0f, box.toPictureX(10f))
    }

    @Test
    fun coloursEqualPythons() {
        val list = Goldens.json(File(Goldens.root, "colours.json")) as List<*>
        list.forEachIndexed { index, rgb ->
            val (red, green, blue) = (rgb as List<*>).map { (it as Long).toInt() }
            assertEquals((0xFF shl 24) or (red shl 16) or (green shl 8) or blue, ClassColours.of(index), "class $index")
        }
    }

    @Test
    fun textColourFollowsTheClassColour() {
        assertTrue(ClassColours.needsBlackText(0xFFFFFF00.toInt()))
        assertTrue(!ClassColours.needsBlackText(0xFF800000.toInt()))
    }

    @Test
    fun labelsGoAboveThenInsideThenBelow() {
        val placer = LabelPlacer(8)
        val tops = List(4) {
            placer.place(10f, 50f, 90f, 30f, 10f, 100f, 200f)
            placer.top
        }
        assertEquals(listOf(40f, 50f, 90f, 40f), tops)
    }

    @Test
    fun aLabelStaysInside() {
        val placer = LabelPlacer(8)
        placer.place(95f, 2f, 90f, 30f, 10f, 100f, 100f)
        assertEquals(70f to 0f, placer.left to placer.top)
    }

    @Test
    fun mediansAreOverTheWindow() {
        val times = StageTimes(4)
        assertEquals(0f, times.median(Stage.HOST))
        for (round in 0 until 9) {
            times.start()
            times.mark(Stage.HOST)
        }
        assertTrue(times.median(Stage.HOST) in 0f..50f && times.latest(Stage.HOST) >= 0f)
        times.clear()
        assertEquals(0f to 0f, times.median(Stage.HOST) to times.latest(Stage.HOST))
    }

    private companion object {
        /** More than any of the golden masks. */
        const val CLASSES = 10
    }
}
