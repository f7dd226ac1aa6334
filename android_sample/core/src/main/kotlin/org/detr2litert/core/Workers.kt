package org.detr2litert.core

import java.util.concurrent.Semaphore

/**
 * A small thread pool for parallel loops, used by the pre-processing and the host step's matrix products.
 *
 * [run] executes the first part on the calling thread and one part on each worker; it returns when all are done, and
 * allocates only what waiting on a semaphore needs. [run] is not reentrant; the first call starts the threads.
 *
 * @param count number of parts of a loop; 1 starts no thread.
 */
class Workers(val count: Int) : AutoCloseable {
    /** Processes rows `from until to`, the part numbered `part`; parts run concurrently. */
    fun interface Rows {
        fun run(part: Int, from: Int, to: Int)
    }

    private val starts = Array(count - 1) { Semaphore(0) }
    private val done = Semaphore(0)
    private val threads = starts.mapIndexed { index, start -> Thread({ serve(start, index + 1) }, "workers-${index + 1}") }

    // Written before a start is released and read after it is acquired: the semaphore orders the accesses.
    private var body: Rows? = null
    private var rows = 0
    private var failure: Throwable? = null

    @Volatile
    private var closed = false

    private var started = false

    init {
        require(count >= 1) { "$count workers" }
    }

    /** Runs [body] over `0 until rows` in [count] parts of nearly equal length. */
    fun run(rows: Int, body: Rows) {
        check(!closed) { "the workers are closed" }
        if (!started) start()
        this.body = body
        this.rows = rows
        failure = null // of a loop whose first part failed too
        starts.forEach { it.release() }
        try {
            part(0)
        } finally {
            done.acquireUninterruptibly(threads.size)
            this.body = null
        }
        failure?.let {
            failure = null
            throw IllegalStateException("a worker failed", it)
        }
    }

    /** Ends the threads; [run] must not be running. */
    override fun close() {
        closed = true
        starts.forEach { it.release() }
    }

    private fun start() {
        started = true
        for (thread in threads) {
            thread.isDaemon = true
            thread.start()
        }
    }

    private fun serve(start: Semaphore, number: Int) {
        while (true) {
            start.acquireUninterruptibly()
            if (closed) return
            try {
                part(number)
            } catch (error: Throwable) {
                failure = error
            } finally {
                done.release()
            }
        }
    }

    private fun part(number: Int) {
        val from = (rows.toLong() * number / count).toInt()
        val to = (rows.toLong() * (number + 1) / count).toInt()
        if (from < to) body?.run(number, from, to)
    }

    companion object {
        /** Half of the processors, 1 to 4: about a phone's number of fast cores. */
        fun forThisMachine() = Workers((Runtime.getRuntime().availableProcessors() / 2).coerceIn(1, 4))
    }
}
