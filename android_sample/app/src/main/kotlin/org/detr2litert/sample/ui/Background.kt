package org.detr2litert.sample.ui

import android.os.Handler
import android.os.Looper
import java.util.concurrent.Executors

/** Work that takes time, on one thread and in order, with its result on the main thread unless [close] came first. */
class Background : AutoCloseable {
    private val executor = Executors.newSingleThreadExecutor { Thread(it, "background") }
    private val main = Handler(Looper.getMainLooper())
    private var closed = false

    /** Runs [work], then [onDone] with its value or [onError] with what it threw. From the main thread. */
    fun <T> run(work: () -> T, onDone: (T) -> Unit, onError: (Exception) -> Unit) {
        if (closed) return
        executor.execute {
            val outcome = try {
                val value = work()
                Runnable { onDone(value) }
            } catch (error: Exception) {
                Runnable { onError(error) }
            }
            main.post { if (!closed) outcome.run() }
        }
    }

    /** From the main thread; nothing is called back afterwards. */
    override fun close() {
        closed = true
        executor.shutdown()
    }
}
