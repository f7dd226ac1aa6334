package org.detr2litert.core.pipeline

/** Pictures per second over the last second or so, from a running count. */
class FrameRate {
    private var sinceNanos = 0L
    private var sinceCount = 0L
    private var rate = 0f

    /** @param count number of pictures up to [nowNanos]. */
    fun update(count: Long, nowNanos: Long): Float {
        val elapsed = nowNanos - sinceNanos
        if (count < sinceCount || elapsed > STALE) {
            sinceNanos = nowNanos
            sinceCount = count
            rate = 0f
        } else if (elapsed >= WINDOW) {
            rate = (count - sinceCount) * 1e9f / elapsed
            sinceNanos = nowNanos
            sinceCount = count
        }
        return rate
    }

    private companion object {
        const val WINDOW = 1_000_000_000L
        const val STALE = 5_000_000_000L
    }
}
