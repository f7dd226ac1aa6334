package org.detr2litert.core.pipeline

/** Measures each stage's milliseconds over the last [window] frames: [start], then [mark] after each stage. No allocation. */
class StageTimes(private val window: Int = 30) {
    private val samples = Array(Stage.entries.size) { FloatArray(window) }
    private val counts = IntArray(Stage.entries.size)
    private val sorted = FloatArray(window)
    private var last = 0L

    /** Removes all times. */
    fun clear() = counts.fill(0)

    /** Starts the clock for the next stage. */
    fun start() {
        last = System.nanoTime()
    }

    /** Records the time since [start] or the last mark for [stage], and restarts the clock. */
    fun mark(stage: Stage) {
        val now = System.nanoTime()
        samples[stage.ordinal][counts[stage.ordinal]++ % window] = (now - last) / 1e6f
        last = now
    }

    /** The stage's latest time in ms; 0 if it never ran. */
    fun latest(stage: Stage): Float {
        val count = counts[stage.ordinal]
        return if (count == 0) 0f else samples[stage.ordinal][(count - 1) % window]
    }

    /** The median over the window in ms; 0 if it never ran. */
    fun median(stage: Stage): Float {
        val filled = minOf(counts[stage.ordinal], window)
        if (filled == 0) return 0f
        System.arraycopy(samples[stage.ordinal], 0, sorted, 0, filled)
        sorted.sort(0, filled)
        return if (filled % 2 == 1) sorted[filled / 2] else (sorted[filled / 2 - 1] + sorted[filled / 2]) / 2
    }
}
