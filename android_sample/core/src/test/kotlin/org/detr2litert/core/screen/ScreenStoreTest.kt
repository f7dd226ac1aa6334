package org.detr2litert.core.screen

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class ScreenStoreTest {
    private val log = ArrayList<String>()

    @Test
    fun aStateIsShownBeforeItsEffectsRun() {
        val initial = ScreenState(Settings())
        val store = ScreenStore(initial, { before, now -> log += "${before?.shown} to ${now.shown}" }) { log += "$it" }
        store.dispatch(ScreenEvent.Resumed(true))
        assertEquals(listOf("Nothing to Waiting", "ListBundles(number=1)"), log)
        assertEquals(Shown.Waiting, store.state.shown)
        store.dispatch(ScreenEvent.FingerprintRead(9, null))
        assertEquals(2, log.size, "where nothing changes, nothing is shown again")
    }

    @Test
    fun anEventFromWithinIsQueued() {
        lateinit var store: ScreenStore
        store = ScreenStore(
            ScreenState(Settings()),
            { _, now ->
                log += "show ${now.settings.threshold}"
                if (now.settings.threshold == 0.1f) store.dispatch(ScreenEvent.ThresholdChosen(0.2f))
                log += "shown"
            },
        ) { effect ->
            log += "$effect"
            store.dispatch(ScreenEvent.ThresholdChosen(0.3f))
        }
        store.dispatch(ScreenEvent.ThresholdChosen(0.1f))
        assertEquals(listOf("show 0.1", "shown", "show 0.2", "shown"), log)
        log.clear()
        store.dispatch(ScreenEvent.PictureRequested)
        assertEquals(listOf("PickPicture", "show 0.3", "shown"), log)
    }

    @Test
    fun aFailureDoesNotBlockTheNextEvent() {
        val store = ScreenStore(ScreenState(Settings()), { _, _ -> }) { error("no") }
        assertFailsWith<IllegalStateException> { store.dispatch(ScreenEvent.PictureRequested) }
        store.dispatch(ScreenEvent.ThresholdChosen(0.9f))
        assertEquals(0.9f, store.state.settings.threshold)
    }
}
