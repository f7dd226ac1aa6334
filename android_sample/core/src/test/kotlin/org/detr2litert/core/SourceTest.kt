package org.detr2litert.core

import org.detr2litert.core.decode.Detections
import org.detr2litert.core.pipeline.DetectionExchange
import org.detr2litert.core.pipeline.FrameMailbox
import org.detr2litert.core.pipeline.SourceNumber
import org.detr2litert.core.pipeline.Stage
import org.detr2litert.core.pipeline.StageTimes
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue

/** Frames and results are delivered only for the source they belong to. */
class SourceTest {
    private fun FrameMailbox.write(mark: Int, source: Int) {
        back().pixels[0] = mark
        publish(source)
    }

    private fun found(count: Int) = Detections(8).also {
        it.count = count
        it.width = 640
    }

    @Test
    fun theMailboxReturnsTheNewestFrameAndNeverReplacesTheOneBeingRead() {
        val mailbox = FrameMailbox()
        assertNull(mailbox.take(1))
        mailbox.write(1, source = 1)
        mailbox.write(2, source = 1)
        val read = assertNotNull(mailbox.take(1))
        assertEquals(2 to 1, read.picture.pixels[0] to read.source)
        assertNull(mailbox.take(1))
        for (mark in 3..9) mailbox.write(mark, source = 1)
        assertEquals(2, read.picture.pixels[0])
        assertEquals(9, mailbox.take(1)?.picture?.pixels?.get(0))
    }

    @Test
    fun aFrameOfAnotherSourceIsDropped() {
        val mailbox = FrameMailbox()
        mailbox.write(1, source = 1)
        assertNull(mailbox.take(2))
        assertNull(mailbox.take(1), "a frame once refused does not come back")
        mailbox.write(2, source = 2)
        assertEquals(2, mailbox.take(2)?.picture?.pixels?.get(0))
    }

    /** A camera frame is being processed while the user chooses a picture: its boxes must not be drawn over that picture. */
    @Test
    fun aPendingResultIsNotShownAfterTheSourceChanges() {
        val sources = SourceNumber()
        val exchange = DetectionExchange(8)
        val times = StageTimes()
        val shown = Detections(8)
        val camera = sources.next()
        exchange.put(camera, found(3), times)
        assertTrue(exchange.take(sources.current, shown))
        assertEquals(3, shown.count)

        val still = sources.next()
        shown.clear()
        assertFalse(exchange.take(sources.current, shown), "the camera's last result is for the camera")
        exchange.put(camera, found(5), times)
        assertFalse(exchange.take(sources.current, shown), "so is a later one")
        assertEquals(0, shown.count)

        exchange.put(still, found(2), times)
        exchange.put(camera, found(5), times)
        assertTrue(exchange.take(sources.current, shown), "an old result does not replace the new one")
        assertEquals(2 to 640, shown.count to shown.width)
        assertEquals(4L, exchange.takeTimes(FloatArray(Stage.entries.size)))
    }

    @Test
    fun thereIsNoResultBeforeTheFirst() = assertFalse(DetectionExchange(8).take(SourceNumber().current, Detections(8)))

    @Test
    fun numbersAreNeverUsedTwice() {
        val sources = SourceNumber()
        val numbers = List(5) { sources.next() }
        assertEquals(5, numbers.toSet().size)
        assertTrue(sources.isCurrent(numbers.last()) && numbers.dropLast(1).none(sources::isCurrent))
    }
}
