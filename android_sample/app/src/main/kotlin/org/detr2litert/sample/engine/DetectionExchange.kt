package org.detr2litert.sample.engine

import org.detr2litert.core.decode.Detections
import org.detr2litert.core.pipeline.Stage
import org.detr2litert.core.pipeline.StageTimes

/** The newest result, handed from the inference thread to the main thread by copying into arrays that both sides keep. */
class DetectionExchange(val capacity: Int) {
    private val held = Detections(capacity)
    private val heldTimes = FloatArray(Stage.entries.size)
    private var frames = 0L

    /** From the inference thread, after each picture. */
    @Synchronized
    fun put(detections: Detections, times: StageTimes) {
        held.copyFrom(detections)
        for (index in heldTimes.indices) heldTimes[index] = times.median(STAGES[index])
        frames++
    }

    /** From the main thread: the newest detections into [into], which has at least the same capacity. */
    @Synchronized
    fun take(into: Detections) = into.copyFrom(held)

    /** Median milliseconds by stage, into [into] (one for each [Stage]); the number of pictures so far. */
    @Synchronized
    fun takeTimes(into: FloatArray): Long {
        System.arraycopy(heldTimes, 0, into, 0, heldTimes.size)
        return frames
    }

    private companion object {
        val STAGES: Array<Stage> = Stage.entries.toTypedArray()
    }
}
