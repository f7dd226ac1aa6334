package org.detr2litert.core.screen

import org.detr2litert.core.engine.EngineOptions
import org.detr2litert.core.engine.Precision
import org.detr2litert.core.screen.ScreenScript.Companion.MANIFEST
import org.detr2litert.core.screen.ScreenScript.Companion.PICTURE
import org.detr2litert.core.screen.ScreenScript.Companion.TINY
import java.io.File
import java.io.IOException
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue

/** What is shown: the camera, pictures, options and errors. */
class ScreenViewTest {
    private val screen = ScreenScript()

    @Test
    fun theCameraRunsOnlyInFront() {
        screen.live()
        assertTrue(screen.state.cameraRuns)
        val scene = screen.state.scene
        screen.on(ScreenEvent.Paused)
        assertFalse(screen.state.cameraRuns)
        assertEquals(listOf<ScreenEffect>(ScreenEffect.Save(screen.state.settings)), screen.effects)
        screen.on(ScreenEvent.Resumed(true))
        assertTrue(screen.state.cameraRuns)
        assertTrue(screen.state.scene > scene, "earlier frames are not drawn")
    }

    @Test
    fun aCameraThatIsNotAllowedAnyMoreDoesNotRun() {
        screen.live().on(ScreenEvent.Paused).on(ScreenEvent.Resumed(mayUseCamera = false))
        assertFalse(screen.state.cameraRuns)
        assertTrue(ScreenEffect.AskForCamera in screen.effects)
        screen.on(ScreenEvent.CameraAnswered(allowed = true, mayAskAgain = true)).on(ScreenEvent.Resumed(true))
        assertTrue(screen.state.cameraRuns)
    }

    @Test
    fun aBundleOpenedOutOfSightStartsNoCamera() {
        screen.start(TINY).on(ScreenEvent.Paused).opened()
        assertEquals(Shown.Nothing, screen.state.shown)
        screen.on(ScreenEvent.Resumed(true))
        assertTrue(screen.state.cameraRuns)
    }

    @Test
    fun theCameraIsAskedForOnce() {
        screen.start(TINY, mayUseCamera = false).opened()
        assertEquals(listOf<ScreenEffect>(ScreenEffect.AskForCamera), screen.effects)
        assertTrue(screen.state.isAskingForCamera)
        screen.on(ScreenEvent.Paused).on(ScreenEvent.Resumed(false))
        assertTrue(screen.effects.none { it == ScreenEffect.AskForCamera }, "the permission dialog is still open")
        screen.on(ScreenEvent.CameraAnswered(allowed = true, mayAskAgain = false))
        assertFalse(screen.state.isAskingForCamera)
        screen.on(ScreenEvent.Resumed(true))
        assertEquals(Shown.Live, screen.state.shown)
    }

    @Test
    fun aCameraThatIsNotAllowedIsReported() {
        for (mayAskAgain in listOf(true, false)) {
            val refused = ScreenScript().start(TINY, mayUseCamera = false).opened()
            refused.on(ScreenEvent.CameraAnswered(allowed = false, mayAskAgain))
            assertEquals(Problem.CameraDenied(forGood = !mayAskAgain), refused.problem())
            assertEquals(Subject.Sample, refused.state.subject)
            refused.on(ScreenEvent.Resumed(false))
            assertTrue(refused.effects.none { it == ScreenEffect.AskForCamera }, "not before the user asks for it")
            refused.on(ScreenEvent.SubjectChosen(Subject.Live))
            assertEquals(listOf<ScreenEffect>(ScreenEffect.AskForCamera), refused.effects)
        }
        val before = screen.state
        screen.on(ScreenEvent.SystemSettingsRequested)
        assertEquals(Step(before, ScreenEffect.OpenSystemSettings), Step(screen.state, screen.effects))
    }

    @Test
    fun aCameraFailureIsReportedAndRetried() {
        screen.live().on(ScreenEvent.CameraFailed("taken"))
        assertEquals(Problem.CameraFailed("taken"), screen.problem())
        assertFalse(screen.state.cameraRuns)
        screen.on(ScreenEvent.SubjectChosen(Subject.Live))
        assertTrue(screen.state.cameraRuns)
    }

    @Test
    fun theGoldenPictureIsLoadedShownAndDetected() {
        screen.live().on(ScreenEvent.SubjectChosen(Subject.Sample))
        val load = screen.effect<ScreenEffect.LoadPicture>()
        assertEquals(PictureSource.OfBundle(File(TINY.root, MANIFEST.golden!!.image)), load.source)
        assertEquals(Shown.Loading(load.number), screen.state.shown)
        assertFalse(screen.state.cameraRuns)
        val scene = screen.state.scene
        screen.on(ScreenEvent.PictureLoaded(load.number, PICTURE))
        assertEquals(Shown.Still(PICTURE), screen.state.shown)
        assertEquals(listOf<ScreenEffect>(ScreenEffect.Detect(PICTURE)), screen.effects)
        assertEquals(scene, screen.state.scene, "the picture was already shown")
        screen.on(ScreenEvent.Paused).on(ScreenEvent.Resumed(true))
        assertEquals(Shown.Still(PICTURE), screen.state.shown)
    }

    @Test
    fun aPictureIsPickedAndItsFailureIsReported() {
        screen.live().on(ScreenEvent.PictureRequested)
        assertEquals(listOf<ScreenEffect>(ScreenEffect.PickPicture), screen.effects)
        screen.on(ScreenEvent.SubjectChosen(Subject.Chosen("content://cat")))
        val load = screen.effect<ScreenEffect.LoadPicture>()
        assertEquals(PictureSource.Picked("content://cat"), load.source)
        val error = IOException("gone")
        screen.on(ScreenEvent.PictureFailed(load.number, error))
        assertEquals(Problem.Failure(error), screen.problem())
    }

    @Test
    fun aMissingFilePickerIsReported() {
        screen.live().on(ScreenEvent.NoFilePicker("none"))
        assertEquals(Problem.NoFilePicker("none"), screen.problem())
        assertFalse(screen.state.cameraRuns)
    }

    @Test
    fun theSubjectIsUnchangedByAnOpening() {
        screen.start(TINY).on(ScreenEvent.SubjectChosen(Subject.Chosen("content://cat")))
        assertEquals(Shown.Waiting, screen.state.shown)
        screen.opened()
        assertEquals(PictureSource.Picked("content://cat"), screen.effect<ScreenEffect.LoadPicture>().source)
        screen.on(ScreenEvent.BundleChosen(TINY.root)).opened()
        assertEquals(PictureSource.Picked("content://cat"), screen.effect<ScreenEffect.LoadPicture>().source)
        for (subject in listOf(Subject.Live, Subject.Sample, Subject.Chosen("content://cat"))) {
            assertEquals(subject, Subject.of(subject.toText()))
        }
        assertEquals(Subject.Live, Subject.of(null))
    }

    @Test
    fun otherOptionsOpenTheBundleAgain() {
        val fp32 = EngineOptions(precision = Precision.FP32)
        screen.live().on(ScreenEvent.OptionsRequested)
        assertEquals(Dialog.Options, screen.state.dialog)
        screen.on(ScreenEvent.OptionsChosen(fp32, Suppression.OFF))
        assertNull(screen.state.dialog)
        assertEquals(fp32, screen.effect<ScreenEffect.OpenBundle>().options)
        assertEquals(fp32, screen.effect<ScreenEffect.Save>().settings.engine)
    }

    @Test
    fun nmsAloneReloadsNothing() {
        screen.still().on(ScreenEvent.OptionsChosen(EngineOptions(), Suppression.OF_A_CLASS))
        assertEquals(0.5f to false, nms(screen))
        assertEquals(listOf(ScreenEffect.DecodeAgain, ScreenEffect.Save(screen.state.settings)), screen.effects)
        val live = ScreenScript().live().on(ScreenEvent.OptionsChosen(EngineOptions(), Suppression.OF_A_CLASS))
        assertEquals(listOf<ScreenEffect>(ScreenEffect.Save(live.state.settings)), live.effects, "the next frame has it")
        live.on(ScreenEvent.OptionsChosen(EngineOptions(), Suppression.OFF))
        assertEquals(null to false, nms(live))
    }

    @Test
    fun nmsAcrossClassesIsAChoiceOfItsOwn() {
        screen.still().on(ScreenEvent.OptionsChosen(EngineOptions(), Suppression.OF_A_CLASS))
        screen.on(ScreenEvent.OptionsChosen(EngineOptions(), Suppression.ACROSS_CLASSES))
        assertEquals(0.5f to true, nms(screen))
        assertEquals(listOf(ScreenEffect.DecodeAgain, ScreenEffect.Save(screen.state.settings)), screen.effects)
        screen.on(ScreenEvent.CpuChosen)
        assertEquals(0.5f to true, nms(screen), "another processor leaves it")
    }

    private fun nms(script: ScreenScript) = script.state.settings.run { nmsIou to nmsAcrossClasses }

    @Test
    fun optionsWithoutABundleAreSaved() {
        screen.start().on(ScreenEvent.OptionsChosen(EngineOptions(cache = false), Suppression.OFF))
        assertEquals(listOf<ScreenEffect>(ScreenEffect.Save(screen.state.settings)), screen.effects)
        assertFalse(screen.state.settings.engine.cache)
    }

    @Test
    fun theThresholdTakesEffectAtOnceAndIsSavedLater() {
        screen.still().on(ScreenEvent.ThresholdChosen(0.25f))
        assertEquals(0.25f, screen.state.settings.threshold)
        assertEquals(listOf<ScreenEffect>(ScreenEffect.DecodeAgain), screen.effects)
        screen.on(ScreenEvent.Paused)
        assertEquals(0.25f, screen.effect<ScreenEffect.Save>().settings.threshold)
        val live = ScreenScript().live().on(ScreenEvent.ThresholdChosen(0.75f))
        assertEquals(0.75f, live.state.settings.threshold)
        assertEquals(emptyList(), live.effects, "the next frame has it")
    }
}
