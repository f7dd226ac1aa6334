package org.detr2litert.core.pipeline

import org.detr2litert.core.preprocess.Picture

/** A camera frame and the [SourceNumber] it was captured under. */
class Frame internal constructor() {
    val picture = Picture(1, 1)
    var source = 0
        internal set
}

/**
 * Passes the newest camera frame from the camera thread to the inference thread; neither waits for the other.
 *
 * Triple buffering: one frame being written, the newest complete one, one being read. A frame not taken in time is replaced
 * by the next, so the camera never waits and inference never works on an old frame. One writer, one reader: each start of a
 * camera has its own mailbox.
 */
class FrameMailbox {
    private var writing = Frame()
    private var newest = Frame()
    private var reading = Frame()
    private var fresh = false

    /** The buffer of the next frame, owned by the writer until [publish]. */
    fun back(): Picture = writing.picture

    /** Publishes the frame written to [back] under the number [source]. */
    @Synchronized
    fun publish(source: Int) {
        val complete = writing
        writing = newest
        newest = complete
        newest.source = source
        fresh = true
    }

    /**
     * Takes the newest frame, owned by the reader until the next call; null if none was published since. A frame of a source
     * other than [requested] is dropped.
     */
    @Synchronized
    fun take(requested: Int): Frame? {
        if (!fresh) return null
        fresh = false
        if (newest.source != requested) return null
        val taken = newest
        newest = reading
        reading = taken
        return taken
    }
}
