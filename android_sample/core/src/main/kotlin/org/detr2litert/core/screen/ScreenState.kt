package org.detr2litert.core.screen

import org.detr2litert.core.bundle.StoredBundle
import org.detr2litert.core.engine.EngineOptions
import org.detr2litert.core.engine.FormInUse
import org.detr2litert.core.manifest.Manifest
import org.detr2litert.core.pipeline.DetectionExchange
import org.detr2litert.core.preprocess.Picture
import java.io.File

/**
 * The immutable state of the app's screen; [ScreenReducer] computes the next one.
 *
 * Every asynchronous request has a unique number, which its result carries. A result whose number is no longer in the state is
 * stale and ignored.
 *
 * @property settings the user's settings, persistent.
 * @property subject what the user wants to see; unchanged when the bundle or an option changes.
 * @property bundle the state of the open bundle.
 * @property shown what is on the screen.
 * @property scene incremented whenever [shown] changes: detections of an older scene are not drawn.
 * @property dialog the dialog over the screen.
 * @property looking the number of the running listing that opens the first bundle, or reopens a changed one.
 * @property choosing the number of the running listing for the dialog of bundles.
 * @property importing the number of the running import, whose bundle is opened next.
 * @property isInFront whether the activity is resumed: the camera runs only then.
 * @property mayUseCamera whether the camera permission was granted at the last resume or request.
 * @property isAskingForCamera whether the permission dialog is open.
 * @property lastNumber the last number assigned.
 */
data class ScreenState(
    val settings: Settings,
    val subject: Subject = Subject.Live,
    val bundle: BundleState = BundleState.None,
    val shown: Shown = Shown.Nothing,
    val scene: Int = 0,
    val dialog: Dialog? = null,
    val looking: Int? = null,
    val choosing: Int? = null,
    val importing: Int? = null,
    val isInFront: Boolean = false,
    val mayUseCamera: Boolean = false,
    val isAskingForCamera: Boolean = false,
    val lastNumber: Int = 0,
) {
    /** Whether a bundle is being listed, imported or opened; [subject] is shown afterwards. */
    val isBusy: Boolean
        get() = importing != null || bundle is BundleState.Opening || (bundle == BundleState.None && looking != null)

    /** Whether the camera must be running; the permission may have been revoked. */
    val cameraRuns: Boolean get() = shown == Shown.Live && isInFront && mayUseCamera
}

/**
 * The user's settings.
 *
 * @property bundle the folder name of the bundle opened last; null before the first.
 * @property threshold exclusive lower bound of the scores, 0..1.
 */
data class Settings(
    val bundle: String? = null,
    val engine: EngineOptions = EngineOptions(),
    val nms: Suppression = Suppression.OFF,
    val threshold: Float = 0.5f,
) {
    /** The IoU for the engine's NMS, or null without NMS, as in the original. */
    val nmsIou: Float? get() = if (nms == Suppression.OFF) null else NMS_IOU

    /** Whether a better box of any class suppresses. */
    val nmsAcrossClasses: Boolean get() = nms == Suppression.ACROSS_CLASSES

    private companion object {
        /** A common default. */
        const val NMS_IOU = 0.5f
    }
}

/** Which better boxes suppress a box; none, as in the original, by default. */
enum class Suppression { OFF, OF_A_CLASS, ACROSS_CLASSES }

/** What the user wants to see; saved over the activity's end as [toText], restored by [of]. */
sealed interface Subject {
    /** The camera. */
    data object Live : Subject

    /** The bundle's golden picture. */
    data object Sample : Subject

    /** A picture that the user picked, by its URI. */
    data class Chosen(val uri: String) : Subject

    fun toText(): String = when (this) {
        Live -> LIVE
        Sample -> SAMPLE
        is Chosen -> uri
    }

    companion object {
        private const val LIVE = "live"
        private const val SAMPLE = "sample"

        /** Parses the result of [toText]; null, at the first start, is the camera. */
        fun of(text: String?): Subject = when (text) {
            null, LIVE -> Live
            SAMPLE -> Sample
            else -> Chosen(text)
        }
    }
}

/** The state of a bundle, from its folder to compiled graphs. */
sealed interface BundleState {
    /** No bundle was opened. */
    data object None : BundleState

    /** The bundle opened last, with or without success. */
    sealed interface Known : BundleState {
        /** The number of its opening, which the engine's callbacks carry. */
        val number: Int
        val root: File
        val options: EngineOptions
    }

    /** Files are being checked and graphs compiled. */
    data class Opening(override val number: Int, override val root: File, override val options: EngineOptions) : Known

    /**
     * The bundle is open and detects.
     *
     * @property fingerprint the manifest's hash at opening; detects a replaced bundle.
     * @property form the form of its graphs that runs.
     * @property exchange receives its detections, which are not part of the state, since they change with every frame.
     */
    data class Ready(
        override val number: Int,
        override val root: File,
        override val options: EngineOptions,
        val manifest: Manifest,
        val fingerprint: String,
        val form: FormInUse,
        val openMillis: Long,
        val exchange: DetectionExchange,
    ) : Known

    /**
     * Opening or running failed. It is not retried automatically until the bundle changes.
     *
     * @property fingerprint null until read.
     */
    data class Failed(
        override val number: Int,
        override val root: File,
        override val options: EngineOptions,
        val fingerprint: String? = null,
    ) : Known
}

/** What is on the screen. */
sealed interface Shown {
    /** Nothing: the camera permission is missing, or the activity is paused. */
    data object Nothing : Shown

    /** A bundle is being listed, imported or opened. */
    data object Waiting : Shown

    /** The camera's preview. */
    data object Live : Shown

    /** A picture is being loaded by the request [number]. */
    data class Loading(val number: Int) : Shown

    /** A still picture. */
    data class Still(val picture: StillPicture) : Shown

    /** An error screen. */
    data class Error(val problem: Problem) : Shown
}

/** An upright picture; the app's implementation also has the bitmap to draw. */
interface StillPicture {
    /** The detector's input. */
    val pixels: Picture
}

/** The dialog over the screen. */
sealed interface Dialog {
    /** A choice among installed bundles, or to import another one. */
    data class Bundles(val bundles: List<StoredBundle>) : Dialog

    /** Options of compiling the graphs, and NMS. */
    data object Options : Dialog
}

/** The content of the error screen. */
sealed interface Problem {
    /**
     * Work failed; [error]'s message is one line for the user.
     *
     * @property offersCpu the GPU may be the cause, so the user is offered the CPU, which is never used automatically.
     */
    data class Failure(val error: Exception, val offersCpu: Boolean = false) : Problem

    /** No bundle is installed. */
    data object NoBundle : Problem

    /** Every installed bundle is broken. */
    data class NoUsableBundle(val bundles: List<StoredBundle>) : Problem

    /** The bundle in the folder [name] has no golden picture. */
    data class NoSample(val name: String) : Problem

    /** The camera permission was denied; [forGood]: only the system settings can grant it. */
    data class CameraDenied(val forGood: Boolean) : Problem

    /** The camera is not available, for this reason. */
    data class CameraFailed(val reason: String) : Problem

    /** The phone has no app to pick a file. */
    data class NoFilePicker(val reason: String?) : Problem
}
