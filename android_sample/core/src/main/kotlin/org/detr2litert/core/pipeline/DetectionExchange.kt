package org.detr2litert.core.pipeline

import org.detr2litert.core.decode.Detections

/**
 * The newest result, handed from the inference thread to the main thread by copying into arrays that both sides keep.
 *
 * A result belongs to a source ([SourceNumber]) and is given out only to who asks for that one: boxes of a frame that was under
 * way when something else came on the screen are never drawn there.
 */
class DetectionExchange(val capacity: Int) {
    private val held = Detections(capacity)
    private val heldTimes = FloatArray(Stage.entries.size)
    private var source = NONE
    private var pictures = 0L

    /** From the inference thread, after each picture. */
    @Synchronized
    fun put(source: Int, detections: Detections, times: StageTimes) {
        pictures++
        if (source < this.source) return
        this.source = source
        held.copyFrom(detections)
        for (index in heldTimes.indices) heldTimes[index] = times.median(STAGES[index])
    }

    /**
     * From the main thread: the newest detections into [into], which has at least the same capacity; false, and nothing
     * changed, if there are none of the source [wanted].
     */
    @Synchronized
    fun take(wanted: Int, into: Detections): Boolean {
        if (source != wanted) return false
        into.copyFrom(held)
        return true
    }

    /** Median milliseconds by stage, into [into] (one for each [Stage]); the number of pictures so far. */
    @Synchronized
    fun takeTimes(into: FloatArray): Long {
        System.arraycopy(heldTimes, 0, into, 0, heldTimes.size)
        return pictures
    }

    private companion object {
        /** Before any [SourceNumber]. */
        const val NONE = -1
        val STAGES: Array<Stage> = Stage.entries.toTypedArray()
    }
}
