package org.detr2litert.core.screen

import org.detr2litert.core.engine.EngineOptions
import java.io.File

/** What the app is to do because of an event. */
sealed interface ScreenEffect {
    /** Lists the bundles that are there. */
    data class ListBundles(val number: Int) : ScreenEffect

    /** Closes what is open and opens the bundle in [root]. */
    data class OpenBundle(val number: Int, val root: File, val options: EngineOptions) : ScreenEffect

    /** Reads which bundle is in [root] now; [number] is that of its opening. */
    data class ReadFingerprint(val number: Int, val root: File) : ScreenEffect

    /** Keeps the .zip that the user picked. */
    data class ImportBundle(val number: Int, val uri: String) : ScreenEffect

    /** Loads a picture. */
    data class LoadPicture(val number: Int, val source: PictureSource) : ScreenEffect

    /** Detects in the picture that is shown. */
    data class Detect(val picture: StillPicture) : ScreenEffect

    /** Decodes the picture that is shown once more, because the threshold or NMS changed. */
    data object DecodeAgain : ScreenEffect

    /** Asks the user for the camera. */
    data object AskForCamera : ScreenEffect

    /** Lets the user pick a picture. */
    data object PickPicture : ScreenEffect

    /** Lets the user pick a bundle's .zip. */
    data object PickBundle : ScreenEffect

    /** Opens the system's settings of this app. */
    data object OpenSystemSettings : ScreenEffect

    /** Remembers what the user chose. */
    data class Save(val settings: Settings) : ScreenEffect
}

/** Where a picture comes from. */
sealed interface PictureSource {
    /** A picture that the user picked. */
    data class Picked(val uri: String) : PictureSource

    /** The open bundle's own picture, the one its golden vectors are for. */
    data class OfBundle(val file: File) : PictureSource
}
