package org.detr2litert.sample.ui

import android.os.Handler
import android.os.Looper
import java.util.concurrent.Executors

/** Runs work in order on one background thread and delivers results on the main thread until [close]. */
class Background : AutoCloseable {
    private val executor = Executors.newSingleThreadExecutor { Thread(it, "background") }
    private val main = Handler(Looper.getMainLooper())
    private var closed = false

    /** Runs [work], then [onDone] with its value or [onError] with its exception. Called on the main thread. */
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

    /** Suppresses all further callbacks. Called on the main thread. */
    override fun close() {
        closed = true
        executor.shutdown()
    }
}
