package org.detr2litert.core

import org.detr2litert.core.pipeline.FrameRate
import kotlin.test.Test
import kotlin.test.assertEquals

class FrameRateTest {
    private val rate = FrameRate()

    private fun at(millis: Long, count: Long): Float = rate.update(count, START + millis * 1_000_000)

    @Test
    fun countsPicturesOverTheLastSecond() {
        assertEquals(0f, at(0, 100), "the first look has nothing to compare with")
        assertEquals(0f, at(500, 115))
        assertEquals(30f, at(1000, 130), 1e-3f)
        assertEquals(30f, at(1500, 131), 1e-3f, "until the next second is full")
        assertEquals(10f, at(2000, 140), 1e-3f)
    }

    @Test
    fun anotherCountOrALongPauseRestartsTheRate() {
        at(0, 100)
        at(1000, 130)
        assertEquals(0f, at(1100, 2), "another bundle counts from nothing")
        assertEquals(5f, at(2100, 7), 1e-3f)
        assertEquals(0f, at(8000, 9), "the app was in the background")
    }

    private companion object {
        const val START = 9_000_000_000L
    }
}
