package org.detr2litert.core.screen

import org.detr2litert.core.bundle.StoredBundle
import org.detr2litert.core.engine.EngineOptions
import org.detr2litert.core.manifest.Manifest
import org.detr2litert.core.pipeline.DetectionExchange
import java.io.File

/** What can happen to the screen; `number` is that of the [ScreenEffect] which an event answers. */
sealed interface ScreenEvent {
    // From the system.

    /** The app is in front. */
    data class Resumed(val mayUseCamera: Boolean) : ScreenEvent

    /** The app is not in front any more. */
    data object Paused : ScreenEvent

    /** The user answered [ScreenEffect.AskForCamera]; [mayAskAgain] as Android says after a refusal. */
    data class CameraAnswered(val allowed: Boolean, val mayAskAgain: Boolean) : ScreenEvent

    /** The running camera failed, or none could be started. */
    data class CameraFailed(val reason: String) : ScreenEvent

    /** Nothing on this phone can pick a file. */
    data class NoFilePicker(val reason: String?) : ScreenEvent

    // From the user.

    /** Live, Sample, or a picture that was picked. */
    data class SubjectChosen(val subject: Subject) : ScreenEvent

    /** Gallery: a picture is to be picked. */
    data object PictureWanted : ScreenEvent

    /** The list of bundles is to be shown. */
    data object BundlesWanted : ScreenEvent

    /** One of the list; a broken one too, because the error screen then says what is wrong with it. */
    data class BundleChosen(val root: File) : ScreenEvent

    /** A .zip is to be picked. */
    data object ImportWanted : ScreenEvent

    /** A .zip was picked. */
    data class ImportChosen(val uri: String) : ScreenEvent

    /** The options are to be shown. */
    data object OptionsWanted : ScreenEvent

    /** The options were confirmed. */
    data class OptionsChosen(val engine: EngineOptions, val nms: Boolean) : ScreenEvent

    /** The dialog was left. */
    data object DialogClosed : ScreenEvent

    /** The slider was moved. */
    data class ThresholdChosen(val threshold: Float) : ScreenEvent

    /** The error screen's offer to run on the CPU was taken. */
    data object CpuChosen : ScreenEvent

    /** The error screen's way to the system's settings was taken. */
    data object SystemSettingsWanted : ScreenEvent

    // From work that is done.

    /** Answers [ScreenEffect.ListBundles]. */
    data class BundlesListed(val number: Int, val bundles: List<StoredBundle>) : ScreenEvent

    /** Answers [ScreenEffect.ListBundles]. */
    data class ListingFailed(val number: Int, val error: Exception) : ScreenEvent

    /** Answers [ScreenEffect.ImportBundle]. */
    data class Imported(val number: Int, val root: File) : ScreenEvent

    /** Answers [ScreenEffect.ImportBundle]. */
    data class ImportFailed(val number: Int, val error: Exception) : ScreenEvent

    /** Answers [ScreenEffect.OpenBundle]. */
    data class BundleOpened(
        val number: Int,
        val manifest: Manifest,
        val fingerprint: String,
        val openMillis: Long,
        val exchange: DetectionExchange,
    ) : ScreenEvent

    /** Answers [ScreenEffect.OpenBundle], at once or at any time while the bundle is open. */
    data class DetectorFailed(val number: Int, val error: Exception) : ScreenEvent

    /** Answers [ScreenEffect.ReadFingerprint]; null if it cannot be read. */
    data class FingerprintRead(val number: Int, val fingerprint: String?) : ScreenEvent

    /** Answers [ScreenEffect.LoadPicture]. */
    data class PictureLoaded(val number: Int, val picture: StillPicture) : ScreenEvent

    /** Answers [ScreenEffect.LoadPicture]. */
    data class PictureFailed(val number: Int, val error: Exception) : ScreenEvent
}
