package org.detr2litert.core.screen

import org.detr2litert.core.bundle.StoredBundle
import org.detr2litert.core.engine.EngineOptions
import org.detr2litert.core.engine.FormInUse
import org.detr2litert.core.manifest.Manifest
import org.detr2litert.core.pipeline.DetectionExchange
import java.io.File

/** An event from the system, the user or finished work; `number` is that of the [ScreenEffect] it answers. */
sealed interface ScreenEvent {
    // From the system.

    /** The activity was resumed. */
    data class Resumed(val mayUseCamera: Boolean) : ScreenEvent

    /** The activity was paused. */
    data object Paused : ScreenEvent

    /** The user answered [ScreenEffect.AskForCamera]; [mayAskAgain] is shouldShowRequestPermissionRationale. */
    data class CameraAnswered(val allowed: Boolean, val mayAskAgain: Boolean) : ScreenEvent

    /** The camera failed or could not be started. */
    data class CameraFailed(val reason: String) : ScreenEvent

    /** No app on this phone can pick a file. */
    data class NoFilePicker(val reason: String?) : ScreenEvent

    // From the user.

    /** The user chose Live, Sample or a picture. */
    data class SubjectChosen(val subject: Subject) : ScreenEvent

    /** The user pressed Gallery. */
    data object PictureRequested : ScreenEvent

    /** The user pressed Bundle. */
    data object BundlesRequested : ScreenEvent

    /** The user chose a bundle from the list; also a broken one, for which the error screen shows the reason. */
    data class BundleChosen(val root: File) : ScreenEvent

    /** The user chose to import a .zip. */
    data object ImportRequested : ScreenEvent

    /** The user picked a .zip. */
    data class ImportChosen(val uri: String) : ScreenEvent

    /** The user pressed Options. */
    data object OptionsRequested : ScreenEvent

    /** The user confirmed the options. */
    data class OptionsChosen(val engine: EngineOptions, val nms: Suppression) : ScreenEvent

    /** The user left the dialog. */
    data object DialogClosed : ScreenEvent

    /** The user moved the slider. */
    data class ThresholdChosen(val threshold: Float) : ScreenEvent

    /** The user chose the CPU on the error screen. */
    data object CpuChosen : ScreenEvent

    /** The user chose the system settings on the error screen. */
    data object SystemSettingsRequested : ScreenEvent

    // From finished work.

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
        val form: FormInUse,
        val openMillis: Long,
        val exchange: DetectionExchange,
    ) : ScreenEvent

    /** Answers [ScreenEffect.OpenBundle], at any time while the bundle is opening or open. */
    data class DetectorFailed(val number: Int, val error: Exception) : ScreenEvent

    /** Answers [ScreenEffect.ReadFingerprint]; null if it cannot be read. */
    data class FingerprintRead(val number: Int, val fingerprint: String?) : ScreenEvent

    /** Answers [ScreenEffect.LoadPicture]. */
    data class PictureLoaded(val number: Int, val picture: StillPicture) : ScreenEvent

    /** Answers [ScreenEffect.LoadPicture]. */
    data class PictureFailed(val number: Int, val error: Exception) : ScreenEvent
}
