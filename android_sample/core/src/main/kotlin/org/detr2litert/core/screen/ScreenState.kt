package org.detr2litert.core.screen

import org.detr2litert.core.bundle.StoredBundle
import org.detr2litert.core.engine.EngineOptions
import org.detr2litert.core.manifest.Manifest
import org.detr2litert.core.pipeline.DetectionExchange
import org.detr2litert.core.preprocess.Picture
import java.io.File

/**
 * Everything that the app's one screen depends on, as an immutable value; [ScreenReducer] makes the next one.
 *
 * Work that takes time is begun under a number, another one each time, and its result carries that number back. A result whose
 * number the state does not hold any more is stale and changes nothing.
 *
 * @property settings what the user chose, remembered from start to start.
 * @property subject what the user wants to see; it outlives a change of bundle or options.
 * @property bundle what is open.
 * @property shown what is on the screen.
 * @property scene another number whenever something else comes on the screen: detections of an older scene are not drawn.
 * @property dialog the dialog over the screen.
 * @property looking the listing under way that opens the first bundle, or again the open one if it has changed.
 * @property choosing the listing under way from which the user wants to choose.
 * @property importing the import under way, whose bundle is opened next.
 * @property isInFront whether the user can see the app: the camera runs only then.
 * @property mayUseCamera whether the camera was allowed when the app last came to the front or asked.
 * @property isAskingForCamera whether the system's question is open.
 * @property begun the last number that was given out.
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
    val begun: Int = 0,
) {
    /** Whether a bundle is being looked for, imported or opened: what the user wants to see is shown afterwards. */
    val isBusy: Boolean
        get() = importing != null || bundle is BundleState.Opening || (bundle == BundleState.None && looking != null)

    /** Whether the camera must be running; what the user once allowed may have been taken back. */
    val cameraRuns: Boolean get() = shown == Shown.Live && isInFront && mayUseCamera
}

/**
 * What the user chose.
 *
 * @property bundle the folder name of the bundle that was opened last; null before the first.
 * @property threshold 0..1; scores strictly above it are shown.
 */
data class Settings(
    val bundle: String? = null,
    val engine: EngineOptions = EngineOptions(),
    val nms: Boolean = false,
    val threshold: Float = 0.5f,
) {
    /** For the engine: the IoU of the NMS that was asked for, or null for none, as the original has none. */
    val nmsIou: Float? get() = if (nms) NMS_IOU else null

    private companion object {
        /** The usual one. */
        const val NMS_IOU = 0.5f
    }
}

/** What the user wants to see; [toText] and [of] carry it over the end of the activity and the process. */
sealed interface Subject {
    /** The camera. */
    data object Live : Subject

    /** The bundle's own picture. */
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

        /** From what [toText] gave; null, at the first start, is the camera. */
        fun of(text: String?): Subject = when (text) {
            null, LIVE -> Live
            SAMPLE -> Sample
            else -> Chosen(text)
        }
    }
}

/** What is open: a bundle on its way from a folder to compiled graphs. */
sealed interface BundleState {
    /** No bundle was opened yet. */
    data object None : BundleState

    /** One that was opened last, well or not. */
    sealed interface Known : BundleState {
        /** The number of its opening, which the engine's reports carry. */
        val number: Int
        val root: File
        val options: EngineOptions
    }

    /** Its files are being checked and its graphs compiled. */
    data class Opening(override val number: Int, override val root: File, override val options: EngineOptions) : Known

    /**
     * It detects.
     *
     * @property fingerprint the manifest's hash when it was opened: another one in the same folder is another bundle.
     * @property exchange where its detections arrive. They are no part of the state, which would be another one at every frame.
     */
    data class Ready(
        override val number: Int,
        override val root: File,
        override val options: EngineOptions,
        val manifest: Manifest,
        val fingerprint: String,
        val openMillis: Long,
        val exchange: DetectionExchange,
    ) : Known

    /**
     * It could not be opened, or failed while it ran. Nothing is tried again by itself until the bundle is another one.
     *
     * @property fingerprint null until it is known.
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
    /** Nothing yet: the camera is not allowed, or the app is not in front. */
    data object Nothing : Shown

    /** Something is under way that everything else waits for. */
    data object Waiting : Shown

    /** The camera's preview. */
    data object Live : Shown

    /** A picture is being loaded, under this number. */
    data class Loading(val number: Int) : Shown

    /** One picture. */
    data class Still(val picture: StillPicture) : Shown

    /** What is wrong, and what can be done about it. */
    data class Error(val problem: Problem) : Shown
}

/** An upright picture; the app's own class holds what it draws, too. */
interface StillPicture {
    /** For the detector. */
    val pixels: Picture
}

/** The dialog over the screen. */
sealed interface Dialog {
    /** These bundles to choose from, or another one to import. */
    data class Bundles(val bundles: List<StoredBundle>) : Dialog

    /** How the graphs are compiled, and NMS. */
    data object Options : Dialog
}

/** What the error screen says. */
sealed interface Problem {
    /**
     * Work failed; [error]'s message is one line for the user.
     *
     * @property offersCpu the GPU may be at fault, so the CPU is offered. Offered only: it is never taken without being asked for.
     */
    data class Failure(val error: Exception, val offersCpu: Boolean = false) : Problem

    /** No bundle is there. */
    data object NoBundle : Problem

    /** Bundles are there, and each is broken. */
    data class NoSoundBundle(val bundles: List<StoredBundle>) : Problem

    /** The bundle in the folder [name] carries no picture. */
    data class NoSample(val name: String) : Problem

    /** The camera was not allowed; [forGood]: Android asks no more, and only the system's settings can allow it. */
    data class CameraDenied(val forGood: Boolean) : Problem

    /** There is no camera, for this reason. */
    data class CameraFailed(val reason: String) : Problem

    /** The phone has no app to pick a file with. */
    data class NoFilePicker(val reason: String?) : Problem
}
