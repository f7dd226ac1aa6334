package org.detr2litert.core.pipeline

import org.detr2litert.core.decode.Detections

/**
 * Passes the newest result from the inference thread to the main thread by copying into preallocated arrays.
 *
 * A result belongs to a source ([SourceNumber]) and is returned only for that source: detections of a frame whose source is no
 * longer shown are never drawn.
 */
class DetectionExchange(val capacity: Int) {
    private val newest = Detections(capacity)
    private val newestTimes = FloatArray(Stage.entries.size)
    private var source = NONE
    private var pictures = 0L

    /** Stores a result. Called on the inference thread, after each picture. */
    @Synchronized
    fun put(source: Int, detections: Detections, times: StageTimes) {
        pictures++
        if (source < this.source) return
        this.source = source
        newest.copyFrom(detections)
        for (index in newestTimes.indices) newestTimes[index] = times.median(STAGES[index])
    }

    /**
     * Copies the newest detections to [into], of at least the same capacity; returns false, without a change, if they are not
     * of the source [requested]. Called on the main thread.
     */
    @Synchronized
    fun take(requested: Int, into: Detections): Boolean {
        if (source != requested) return false
        into.copyFrom(newest)
        return true
    }

    /** Copies the median milliseconds of each [Stage] to [into]; returns the number of pictures so far. */
    @Synchronized
    fun takeTimes(into: FloatArray): Long {
        System.arraycopy(newestTimes, 0, into, 0, newestTimes.size)
        return pictures
    }

    private companion object {
        /** Lower than every [SourceNumber]. */
        const val NONE = -1
        val STAGES: Array<Stage> = Stage.entries.toTypedArray()
    }
}
