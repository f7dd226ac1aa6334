package org.detr2litert.detector.engine

import android.content.Context
import android.os.Handler
import android.os.HandlerThread
import android.os.Looper
import android.os.Process
import org.detr2litert.detector.litert.LiteRtSession
import java.util.concurrent.ExecutionException
import java.util.concurrent.FutureTask

/**
 * The process's single inference thread and LiteRT session.
 *
 * Engines of two activities may overlap, since a new activity can start before the old one is destroyed. One thread keeps their
 * work in order, and they share one environment, closed with the last of them. The thread is never ended; idle, it costs
 * nothing.
 */
internal object InferenceThread {
    val looper: Looper by lazy { HandlerThread("inference", Process.THREAD_PRIORITY_DISPLAY).apply { start() }.looper }

    private val handler by lazy { Handler(looper) }

    // Used on that thread only.
    private var session: LiteRtSession? = null
    private var users = 0

    /** Acquires the session, to be returned by [release]. Called on the inference thread. */
    fun acquire(context: Context): LiteRtSession {
        users++
        return session ?: LiteRtSession(context.applicationContext).also { session = it }
    }

    /** Releases the session after everything opened in it is closed. Called on the inference thread. */
    fun release() {
        if (--users > 0) return
        session?.close()
        session = null
    }

    /**
     * Runs [work] on the inference thread, waits, and returns its value or throws its exception.
     *
     * An interrupt does not end the wait, because the work would continue and leak what it opened; the interrupt flag is set
     * again afterwards.
     */
    fun <T> call(work: () -> T): T {
        val task = FutureTask(work)
        handler.post(task)
        var interrupted = false
        try {
            while (true) {
                try {
                    return task.get()
                } catch (_: InterruptedException) {
                    interrupted = true
                } catch (error: ExecutionException) {
                    throw error.cause ?: error
                }
            }
        } finally {
            if (interrupted) Thread.currentThread().interrupt()
        }
    }
}
