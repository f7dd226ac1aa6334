package org.detr2litert.core.screen

import org.detr2litert.core.GraphOutputException
import org.detr2litert.core.engine.EngineException
import org.detr2litert.core.engine.EngineOptions
import org.detr2litert.core.engine.Processor
import org.detr2litert.core.screen.ScreenScript.Companion.FORM
import org.detr2litert.core.screen.ScreenScript.Companion.MANIFEST
import org.detr2litert.core.screen.ScreenScript.Companion.TINY
import org.detr2litert.core.screen.ScreenScript.Companion.broken
import org.detr2litert.core.screen.ScreenScript.Companion.stored
import java.io.File
import java.io.IOException
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue

/** Which bundle is opened, and when. */
class ScreenBundleTest {
    private val screen = ScreenScript()

    @Test
    fun theFirstStartOpensTheFirstUsableBundle() {
        screen.on(ScreenEvent.Resumed(mayUseCamera = true))
        assertEquals(Shown.Waiting, screen.state.shown)
        assertTrue(screen.state.isBusy)
        screen.listed(broken("a"), stored("b"), stored("c"))
        val opening = screen.bundle<BundleState.Opening>()
        assertEquals(File("/bundles/b"), opening.root)
        assertEquals(ScreenEffect.OpenBundle(opening.number, opening.root, EngineOptions()), screen.effects.first())
        assertEquals("b", screen.effect<ScreenEffect.Save>().settings.bundle)
        screen.opened(fingerprint = "7")
        val ready = screen.bundle<BundleState.Ready>()
        assertEquals(
            listOf<Any>(opening.number, opening.root, "7", FORM, 12L),
            ready.run {
                listOf(number, root, fingerprint, form, openMillis)
            },
        )
        assertFalse(screen.state.isBusy)
    }

    @Test
    fun theBundleOpenedLastIsPreferred() {
        val remembering = ScreenScript(ScreenState(Settings(bundle = "c")))
        remembering.start(stored("b"), stored("c"))
        assertEquals("c", remembering.bundle<BundleState.Opening>().root.name)
        assertTrue(remembering.effects.none { it is ScreenEffect.Save }, "nothing new was chosen")
    }

    @Test
    fun noBundleAndNoUsableBundleAreReported() {
        screen.start()
        assertEquals(Problem.NoBundle, screen.problem())
        assertFalse(screen.state.isBusy)
        screen.on(ScreenEvent.Paused).start(broken("a"))
        assertEquals(listOf("a"), screen.problem<Problem.NoUsableBundle>().bundles.map { it.root.name })
        screen.on(ScreenEvent.SubjectChosen(Subject.Sample))
        assertEquals(Shown.Waiting, screen.state.shown, "any choice lists again")
        screen.listed(TINY)
        assertEquals(TINY.root, screen.bundle<BundleState.Opening>().root)
    }

    @Test
    fun aListingThatFailsIsReported() {
        val error = IOException("no")
        screen.on(ScreenEvent.Resumed(true))
        screen.on(ScreenEvent.ListingFailed(screen.effect<ScreenEffect.ListBundles>().number, error))
        assertEquals(Problem.Failure(error), screen.problem())
        assertNull(screen.state.looking)
        screen.on(ScreenEvent.BundlesRequested)
        screen.on(ScreenEvent.ListingFailed(screen.effect<ScreenEffect.ListBundles>().number, error))
        assertEquals(Problem.Failure(error), screen.problem())
        assertNull(screen.state.choosing)
    }

    @Test
    fun aBundleThatWasReplacedIsOpenedAgain() {
        screen.live().on(ScreenEvent.Paused).on(ScreenEvent.Resumed(true))
        assertEquals(Shown.Live, screen.state.shown, "does not wait for the listing")
        screen.listed(TINY)
        assertEquals(emptyList(), screen.effects, "the same bundle stays open")
        screen.on(ScreenEvent.Resumed(true)).listed(stored("other", "9"))
        assertTrue(screen.state.bundle is BundleState.Ready, "one that was removed stays open")
        screen.on(ScreenEvent.Resumed(true)).listed(stored("tiny", "2"))
        assertEquals(TINY.root, screen.bundle<BundleState.Opening>().root)
        assertEquals(Shown.Waiting, screen.state.shown)
    }

    @Test
    fun theListIsShownAndOneIsChosen() {
        screen.live().on(ScreenEvent.BundlesRequested)
        assertNull(screen.state.dialog)
        screen.listed(TINY, broken("b"))
        assertEquals(listOf("tiny", "b"), (screen.state.dialog as Dialog.Bundles).bundles.map { it.root.name })
        screen.on(ScreenEvent.BundleChosen(File("/bundles/b")))
        assertNull(screen.state.dialog)
        assertEquals("b", screen.effect<ScreenEffect.OpenBundle>().root.name, "also a broken one, whose error names the reason")
        assertEquals("b", screen.effect<ScreenEffect.Save>().settings.bundle)
        assertFalse(screen.state.cameraRuns)
    }

    @Test
    fun aSecondDialogDoesNotReplaceTheFirst() {
        screen.live().on(ScreenEvent.BundlesRequested)
        val listing = screen.effect<ScreenEffect.ListBundles>().number
        screen.on(ScreenEvent.OptionsRequested).on(ScreenEvent.BundlesListed(listing, listOf(TINY)))
        assertEquals(Dialog.Options, screen.state.dialog)
        screen.on(ScreenEvent.DialogClosed)
        assertNull(screen.state.dialog)
    }

    @Test
    fun aZipIsPickedImportedAndOpened() {
        screen.live().on(ScreenEvent.BundlesRequested).listed(TINY).on(ScreenEvent.ImportRequested)
        assertNull(screen.state.dialog)
        assertEquals(listOf<ScreenEffect>(ScreenEffect.PickBundle), screen.effects)
        screen.on(ScreenEvent.ImportChosen("content://zip"))
        val import = screen.effect<ScreenEffect.ImportBundle>()
        assertEquals("content://zip", import.uri)
        assertEquals(Shown.Waiting, screen.state.shown)
        screen.on(ScreenEvent.Resumed(true))
        assertEquals(Shown.Waiting, screen.state.shown, "the import continues")
        assertEquals(emptyList(), screen.effects)
        screen.on(ScreenEvent.Imported(import.number, File("/bundles/new")))
        assertEquals("new", screen.bundle<BundleState.Opening>().root.name)
        assertNull(screen.state.importing)
    }

    @Test
    fun anImportThatFailsLeavesTheOpenBundle() {
        screen.live().on(ScreenEvent.ImportChosen("content://zip"))
        val error = IOException("no zip")
        screen.on(ScreenEvent.ImportFailed(screen.effect<ScreenEffect.ImportBundle>().number, error))
        assertEquals(Problem.Failure(error), screen.problem())
        screen.on(ScreenEvent.SubjectChosen(Subject.Live))
        assertEquals(Shown.Live, screen.state.shown)
    }

    @Test
    fun aBundleChosenDuringAnImportWins() {
        screen.live().on(ScreenEvent.ImportChosen("content://zip"))
        val import = screen.effect<ScreenEffect.ImportBundle>().number
        screen.on(ScreenEvent.BundleChosen(File("/bundles/b")))
        screen.ignores(ScreenEvent.Imported(import, File("/bundles/new")))
        screen.ignores(ScreenEvent.ImportFailed(import, IOException("no zip")))
    }

    @Test
    fun aFailureIsReportedAndNotRetriedAutomatically() {
        val error = IOException("broken")
        screen.live().failed(error)
        val failed = screen.bundle<BundleState.Failed>()
        assertEquals(Problem.Failure(error), screen.problem())
        assertEquals(ScreenEffect.ReadFingerprint(failed.number, TINY.root), screen.effects.single())
        screen.on(ScreenEvent.FingerprintRead(failed.number, "1"))
        assertEquals("1", screen.bundle<BundleState.Failed>().fingerprint)
        screen.on(ScreenEvent.Paused).on(ScreenEvent.Resumed(true)).listed(TINY)
        assertEquals(Problem.Failure(error), screen.problem())
        screen.on(ScreenEvent.Resumed(true)).listed(stored("tiny", "2"))
        assertTrue(screen.state.bundle is BundleState.Opening, "a replaced bundle is opened")
        screen.failed().on(ScreenEvent.SubjectChosen(Subject.Sample))
        assertTrue(screen.state.bundle is BundleState.Opening, "the same bundle is reopened on a user action")
        screen.failed()
        screen.on(ScreenEvent.FingerprintRead(screen.bundle<BundleState.Known>().number, null))
        screen.on(ScreenEvent.Resumed(true)).listed(TINY)
        assertTrue(screen.state.bundle is BundleState.Failed, "an unknown fingerprint counts as unchanged")
    }

    @Test
    fun theCpuIsOfferedIfTheGpuMayBeTheCause() {
        for (kind in EngineException.Kind.entries) {
            val offered = ScreenScript().live().failed(EngineException(kind, "no")).problem<Problem.Failure>().offersCpu
            val expected =
                kind in setOf(EngineException.Kind.NO_GPU, EngineException.Kind.GPU_REFUSED, EngineException.Kind.RUN)
            assertEquals(expected, offered, kind.name)
        }
        screen.live().failed(GraphOutputException("NaN"))
        assertTrue(screen.problem<Problem.Failure>().offersCpu)
        screen.on(ScreenEvent.CpuChosen)
        assertEquals(Processor.CPU, screen.effect<ScreenEffect.OpenBundle>().options.processor)
        assertEquals(Processor.CPU, screen.effect<ScreenEffect.Save>().settings.engine.processor)
        screen.failed(GraphOutputException("NaN"))
        assertFalse(screen.problem<Problem.Failure>().offersCpu, "it runs there already")
    }

    @Test
    fun aBundleWithoutAPictureIsReported() {
        screen.live().on(ScreenEvent.BundleChosen(TINY.root)).opened(with = MANIFEST.copy(golden = null))
        screen.on(ScreenEvent.SubjectChosen(Subject.Sample))
        assertEquals(Problem.NoSample("tiny"), screen.problem())
    }
}
