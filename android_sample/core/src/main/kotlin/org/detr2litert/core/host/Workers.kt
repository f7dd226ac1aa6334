package org.detr2litert.core.host

import java.util.concurrent.Semaphore

/**
 * A few threads that work on the parts of one loop, for the host step's matrix products.
 *
 * [run] hands each worker one part and does the first itself; it returns when all are done, and allocates nothing but what a
 * semaphore needs to wait. One thread at a time may call [run]; the first call starts the threads.
 *
 * @param count how many parts a loop is cut into; 1 starts no thread.
 */
class Workers(val count: Int) : AutoCloseable {
    /** The body of a loop over rows `from until to`, the part with the number `part`; parts run at the same time. */
    fun interface Rows {
        fun run(part: Int, from: Int, to: Int)
    }

    private val starts = Array(count - 1) { Semaphore(0) }
    private val done = Semaphore(0)
    private val threads = starts.mapIndexed { index, start -> Thread({ serve(start, index + 1) }, "host-step-${index + 1}") }

    // Written before a start is released and read after it is acquired, which orders them.
    private var body: Rows? = null
    private var rows = 0
    private var failure: Throwable? = null

    @Volatile
    private var closed = false

    private var started = false

    init {
        require(count >= 1) { "$count workers" }
    }

    /** Runs [body] over `0 until rows`, cut into [count] parts of nearly equal length. */
    fun run(rows: Int, body: Rows) {
        check(!closed) { "the workers are closed" }
        if (!started) start()
        this.body = body
        this.rows = rows
        starts.forEach { it.release() }
        try {
            part(0)
        } finally {
            done.acquireUninterruptibly(threads.size)
            this.body = null
        }
        failure?.let {
            failure = null
            throw IllegalStateException("a host-step worker failed", it)
        }
    }

    /** Ends the threads; [run] must not be under way. */
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
        /** As many as a phone's fast cores usually are: half of what there is, between 1 and 4. */
        fun forThisMachine() = Workers((Runtime.getRuntime().availableProcessors() / 2).coerceIn(1, 4))
    }
}
