package org.detr2litert.core.screen

import org.detr2litert.core.engine.EngineOptions
import java.io.File

/** A side effect that the app performs after an event. */
sealed interface ScreenEffect {
    /** Lists the installed bundles. */
    data class ListBundles(val number: Int) : ScreenEffect

    /** Closes the open bundle and opens the one in [root]. */
    data class OpenBundle(val number: Int, val root: File, val options: EngineOptions) : ScreenEffect

    /** Reads the fingerprint of the bundle in [root]; [number] is that of its opening. */
    data class ReadFingerprint(val number: Int, val root: File) : ScreenEffect

    /** Installs the .zip that the user picked. */
    data class ImportBundle(val number: Int, val uri: String) : ScreenEffect

    /** Loads a picture. */
    data class LoadPicture(val number: Int, val source: PictureSource) : ScreenEffect

    /** Detects objects in the shown picture. */
    data class Detect(val picture: StillPicture) : ScreenEffect

    /** Decodes the shown picture's outputs once more, after a change of threshold or NMS. */
    data object DecodeAgain : ScreenEffect

    /** Requests the camera permission. */
    data object AskForCamera : ScreenEffect

    /** Lets the user pick a picture. */
    data object PickPicture : ScreenEffect

    /** Lets the user pick a bundle's .zip. */
    data object PickBundle : ScreenEffect

    /** Opens the app's page in the system settings. */
    data object OpenSystemSettings : ScreenEffect

    /** Saves the settings. */
    data class Save(val settings: Settings) : ScreenEffect
}

/** The source of a still picture. */
sealed interface PictureSource {
    /** A picture that the user picked. */
    data class Picked(val uri: String) : PictureSource

    /** The open bundle's golden picture. */
    data class OfBundle(val file: File) : PictureSource
}
