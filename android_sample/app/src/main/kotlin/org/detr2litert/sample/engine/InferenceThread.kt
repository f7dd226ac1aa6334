package org.detr2litert.sample.engine

import android.content.Context
import android.os.HandlerThread
import android.os.Looper
import android.os.Process
import org.detr2litert.sample.litert.LiteRtSession

/**
 * The process's one inference thread and its one LiteRT session.
 *
 * An engine lives as long as its activity, and a new activity may begin before the old one's end is through. On one thread
 * what both do is in order, and what both compile is in one environment, which is closed with the last of them. The thread
 * itself stays: without work it costs nothing.
 */
internal object InferenceThread {
    val looper: Looper by lazy { HandlerThread("inference", Process.THREAD_PRIORITY_DISPLAY).apply { start() }.looper }

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
}
