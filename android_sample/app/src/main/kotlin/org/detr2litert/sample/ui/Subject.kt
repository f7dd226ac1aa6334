package org.detr2litert.sample.ui

import android.net.Uri

/** What the user wants to see. It outlives a change of bundle or options, and, written down, the activity and the process. */
sealed class Subject {
    object Live : Subject()

    /** The bundle's own picture. */
    object Sample : Subject()

    class Chosen(val uri: Uri) : Subject()

    fun write(): String = when (this) {
        Live -> LIVE
        Sample -> SAMPLE
        is Chosen -> uri.toString()
    }

    companion object {
        private const val LIVE = "live"
        private const val SAMPLE = "sample"

        /** From what [write] gave; null, at the first start, is the camera. */
        fun read(text: String?): Subject = when (text) {
            null, LIVE -> Live
            SAMPLE -> Sample
            else -> Chosen(Uri.parse(text))
        }
    }
}
