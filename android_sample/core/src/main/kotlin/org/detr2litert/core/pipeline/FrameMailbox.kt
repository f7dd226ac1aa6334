package org.detr2litert.core.pipeline

import org.detr2litert.core.preprocess.Picture

/** A camera's frame and the [SourceNumber] under which it was made. */
class Frame internal constructor() {
    val picture = Picture(1, 1)
    var source = 0
        internal set
}

/**
 * Hands the newest camera frame from the camera's thread to the inference thread without either waiting for the other.
 *
 * Three frames go round: one being written, the newest complete one, one being read. A frame that nobody took in time is
 * replaced by the next; so the camera never waits and inference never works on an old frame. One writer, one reader: each
 * start of a camera has a mailbox of its own.
 */
class FrameMailbox {
    private var writing = Frame()
    private var newest = Frame()
    private var reading = Frame()
    private var fresh = false

    /** Where the next frame goes; the writer's alone until [publish]. */
    fun back(): Picture = writing.picture

    /** What [back] gave is complete, and was made under the number [source]. */
    @Synchronized
    fun publish(source: Int) {
        val complete = writing
        writing = newest
        newest = complete
        newest.source = source
        fresh = true
    }

    /**
     * The newest frame, the reader's alone until the next call; null if none has come since the last one. A frame of another
     * source than [wanted] is dropped.
     */
    @Synchronized
    fun take(wanted: Int): Frame? {
        if (!fresh) return null
        fresh = false
        if (newest.source != wanted) return null
        val taken = newest
        newest = reading
        reading = taken
        return taken
    }
}
