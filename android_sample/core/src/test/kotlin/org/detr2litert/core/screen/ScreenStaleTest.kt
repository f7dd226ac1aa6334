package org.detr2litert.core.screen

import org.detr2litert.core.engine.EngineOptions
import org.detr2litert.core.engine.Processor
import org.detr2litert.core.screen.ScreenScript.Companion.EXCHANGE
import org.detr2litert.core.screen.ScreenScript.Companion.FORM
import org.detr2litert.core.screen.ScreenScript.Companion.MANIFEST
import org.detr2litert.core.screen.ScreenScript.Companion.TINY
import org.detr2litert.core.screen.ScreenScript.Companion.broken
import org.detr2litert.core.screen.ScreenScript.Companion.picture
import org.detr2litert.core.screen.ScreenScript.Companion.stored
import java.io.File
import java.io.IOException
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.fail

/** Stale results are ignored, and no sequence of events leads to an invalid state. */
class ScreenStaleTest {
    private val screen = ScreenScript()
    private val error = IOException("late")

    @Test
    fun anOlderBundleChangesNothing() {
        screen.start(TINY)
        val older = screen.bundle<BundleState.Opening>().number
        screen.on(ScreenEvent.BundleChosen(File("/bundles/b")))
        val late = listOf(
            ScreenEvent.BundleOpened(older, MANIFEST, "1", FORM, 5, EXCHANGE),
            ScreenEvent.DetectorFailed(older, error),
            ScreenEvent.FingerprintRead(older, "1"),
        )
        late.forEach(screen::ignores)
        screen.opened()
        late.forEach(screen::ignores)
        screen.failed()
        late.forEach(screen::ignores)
    }

    @Test
    fun aBundleIsOpenedOnceAndFailsOnce() {
        screen.live()
        val number = screen.bundle<BundleState.Ready>().number
        screen.ignores(ScreenEvent.BundleOpened(number, MANIFEST, "2", FORM, 5, EXCHANGE))
        screen.ignores(ScreenEvent.FingerprintRead(number, "2"))
        screen.failed()
        screen.ignores(ScreenEvent.DetectorFailed(number, error))
        screen.ignores(ScreenEvent.BundleOpened(number, MANIFEST, "2", FORM, 5, EXCHANGE))
    }

    @Test
    fun anOlderPictureChangesNothing() {
        screen.live().on(ScreenEvent.SubjectChosen(Subject.Sample))
        val older = screen.effect<ScreenEffect.LoadPicture>().number
        val late = listOf(ScreenEvent.PictureLoaded(older, picture()), ScreenEvent.PictureFailed(older, error))
        screen.on(ScreenEvent.SubjectChosen(Subject.Chosen("content://cat")))
        late.forEach(screen::ignores)
        screen.on(ScreenEvent.PictureLoaded(screen.effect<ScreenEffect.LoadPicture>().number, picture()))
        late.forEach(screen::ignores)
        screen.on(ScreenEvent.SubjectChosen(Subject.Live))
        late.forEach(screen::ignores)
        screen.on(ScreenEvent.BundleChosen(TINY.root))
        late.forEach(screen::ignores)
        screen.failed()
        late.forEach(screen::ignores)
    }

    @Test
    fun aCameraThatIsNoLongerShownChangesNothing() = screen.still().ignores(ScreenEvent.CameraFailed("taken"))

    @Test
    fun anOlderListingChangesNothing() {
        screen.on(ScreenEvent.Resumed(true))
        val first = screen.effect<ScreenEffect.ListBundles>().number
        screen.on(ScreenEvent.BundleChosen(TINY.root)) // from a dialog that was open
        screen.ignores(ScreenEvent.BundlesListed(first, listOf(stored("tiny", "2"))))
        screen.ignores(ScreenEvent.ListingFailed(first, error))
        screen.opened().on(ScreenEvent.Resumed(true))
        val second = screen.effect<ScreenEffect.ListBundles>().number
        screen.on(ScreenEvent.Resumed(true))
        screen.ignores(ScreenEvent.BundlesListed(second, listOf(stored("tiny", "2"))))
        screen.listed(TINY)
        screen.ignores(ScreenEvent.ListingFailed(second, error))
    }

    @Test
    fun anOlderListingDoesNotReplaceAnImport() {
        screen.on(ScreenEvent.Resumed(true))
        val listing = screen.effect<ScreenEffect.ListBundles>().number
        screen.on(ScreenEvent.ImportChosen("content://zip"))
        screen.ignores(ScreenEvent.BundlesListed(listing, listOf(TINY)))
    }

    @Test
    fun anOlderImportChangesNothing() {
        screen.live().on(ScreenEvent.ImportChosen("content://first"))
        val first = screen.effect<ScreenEffect.ImportBundle>().number
        screen.on(ScreenEvent.ImportChosen("content://second"))
        screen.ignores(ScreenEvent.Imported(first, File("/bundles/first")))
        screen.ignores(ScreenEvent.ImportFailed(first, error))
    }

    /** Checks the invariants of every state and transition. */
    private fun check(before: ScreenState, event: ScreenEvent, step: Step) {
        val now = step.state

        fun hold(condition: Boolean, what: String) {
            if (!condition) fail("$what: after $event\n$before\n$now")
        }
        hold(
            !now.cameraRuns || (now.bundle is BundleState.Ready && now.mayUseCamera),
            "a camera without a bundle or permission",
        )
        val needsBundle = now.shown == Shown.Live || now.shown is Shown.Loading || now.shown is Shown.Still
        hold(!needsBundle || (now.bundle is BundleState.Ready && !now.isBusy), "a picture without a bundle")
        hold(now.shown != Shown.Waiting || now.isBusy, "waiting without a running request")
        hold(now.scene >= before.scene && now.lastNumber >= before.lastNumber, "a number decreases")
        val numbers = listOfNotNull(now.looking, now.choosing, now.importing, (now.shown as? Shown.Loading)?.number)
        hold(numbers.size == numbers.toSet().size, "one number for two requests")
        val sameScene = now.shown == before.shown || (before.shown is Shown.Loading && now.shown is Shown.Still)
        hold(sameScene || now.scene > before.scene, "something else is shown without a new scene number")
        hold(step.effects.count { it is ScreenEffect.OpenBundle } <= 1, "two openings at once")
        hold(step.effects.none { it is ScreenEffect.Detect } || now.shown is Shown.Still, "a detection without a picture")
    }

    private fun options(processor: Processor, nms: Suppression) = ScreenEvent.OptionsChosen(EngineOptions(processor), nms)

    private fun event(random: Random, state: ScreenState): ScreenEvent {
        // Numbers of running and finished requests, and unassigned ones.
        val number = state.lastNumber + 1 - random.nextInt(6)
        val bundles = listOf(TINY, stored("tiny", "2"), stored("b"), broken("c")).filter { random.nextBoolean() }
        val yes = random.nextBoolean()
        return when (random.nextInt(EVENTS)) {
            0 -> ScreenEvent.Resumed(yes)
            1 -> ScreenEvent.Paused
            2 -> ScreenEvent.CameraAnswered(yes, random.nextBoolean())
            3 -> ScreenEvent.CameraFailed("taken")
            4 -> ScreenEvent.NoFilePicker(null)
            5 -> ScreenEvent.SubjectChosen(listOf(Subject.Live, Subject.Sample, Subject.Chosen("content://cat")).random(random))
            6 -> ScreenEvent.PictureRequested
            7 -> ScreenEvent.BundlesRequested
            8 -> ScreenEvent.BundleChosen(TINY.root)
            9 -> ScreenEvent.ImportRequested
            10 -> ScreenEvent.ImportChosen("content://zip")
            11 -> ScreenEvent.OptionsRequested
            12 -> options(if (yes) Processor.GPU else Processor.CPU, Suppression.entries.random(random))
            13 -> ScreenEvent.DialogClosed
            14 -> ScreenEvent.ThresholdChosen(random.nextFloat())
            15 -> ScreenEvent.CpuChosen
            16 -> ScreenEvent.SystemSettingsRequested
            17 -> ScreenEvent.BundlesListed(number, bundles)
            18 -> ScreenEvent.ListingFailed(number, error)
            19 -> ScreenEvent.Imported(number, File("/bundles/new"))
            20 -> ScreenEvent.ImportFailed(number, error)
            21 -> ScreenEvent.BundleOpened(number, if (yes) MANIFEST else MANIFEST.copy(golden = null), "1", FORM, 5, EXCHANGE)
            22 -> ScreenEvent.DetectorFailed(number, error)
            23 -> ScreenEvent.FingerprintRead(number, "1")
            24 -> ScreenEvent.PictureLoaded(number, picture())
            else -> ScreenEvent.PictureFailed(number, error)
        }
    }

    @Test
    fun noSequenceOfEventsLeadsToAnInvalidState() {
        val random = Random(20260101)
        val seen = HashSet<Class<*>>()
        val shown = HashSet<Class<*>>()
        repeat(WALKS) {
            var state = ScreenState(Settings())
            repeat(WALK) {
                val event = event(random, state)
                val step = ScreenReducer.reduce(state, event)
                check(state, event, step)
                state = step.state
                seen.add(event.javaClass)
                shown.add(state.shown.javaClass)
            }
        }
        assertEquals(ScreenEvent::class.java.permittedSubclasses.toSet(), seen, "every kind of event occurred")
        assertEquals(Shown::class.java.permittedSubclasses.toSet(), shown, "everything was shown")
    }

    private companion object {
        const val EVENTS = 26
        const val WALKS = 500
        const val WALK = 200
    }
}
