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
 * The process's one inference thread and its one LiteRT session.
 *
 * An engine lives as long as its activity, and a new activity may begin before the old one's end is through. On one thread
 * what both do is in order, and what both compile is in one environment, which is closed with the last of them. The thread
 * itself stays: without work it costs nothing.
 */
internal object InferenceThread {
    val looper: Looper by lazy { HandlerThread("inference", Process.THREAD_PRIORITY_DISPLAY).apply { start() }.looper }

    private val handler by lazy { Handler(looper) }

    // Used by that thread alone.
    private var session: LiteRtSession? = null
    private var users = 0

    /** The session, to be given back by [release]. On the inference thread. */
    fun acquire(context: Context): LiteRtSession {
        users++
        return session ?: LiteRtSession(context.applicationContext).also { session = it }
    }

    /** On the inference thread, after everything opened in the session is closed. */
    fun release() {
        if (--users > 0) return
        session?.close()
        session = null
    }

    /**
     * Runs [work] on the inference thread and waits for its value; what it throws is thrown here.
     *
     * An interrupt does not end the waiting, because the work would go on all the same and what it opened would be lost; the
     * caller finds its thread interrupted afterwards.
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
