package org.detr2litert.core.pipeline

import org.detr2litert.core.preprocess.Picture

/**
 * Hands the newest camera frame from the camera's thread to the inference thread without either waiting for the other.
 *
 * Three pictures go round: one being written, the newest complete one, one being read. A frame that nobody took in time is
 * replaced by the next; so the camera never waits and inference never works on an old frame. One writer, one reader.
 */
class FrameMailbox {
    private var writing = Picture(1, 1)
    private var newest = Picture(1, 1)
    private var reading = Picture(1, 1)
    private var fresh = false

    /** Where the next frame goes; the writer's alone until [publish]. */
    fun back(): Picture = writing

    /** What [back] gave is complete. */
    @Synchronized
    fun publish() {
        val complete = writing
        writing = newest
        newest = complete
        fresh = true
    }

    /** The newest frame, the reader's alone until the next call; null if none has come since the last one. */
    @Synchronized
    fun take(): Picture? {
        if (!fresh) return null
        val taken = newest
        newest = reading
        reading = taken
        fresh = false
        return taken
    }

    /** Forgets a frame that nobody has taken. */
    @Synchronized
    fun clear() {
        fresh = false
    }
}
