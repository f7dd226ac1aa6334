package org.detr2litert.sample.engine

import android.content.Context
import android.os.Handler
import android.os.HandlerThread
import android.os.Looper
import android.os.Process
import org.detr2litert.core.BundleException
import org.detr2litert.core.GraphOutputException
import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.decode.Detections
import org.detr2litert.core.manifest.Manifest
import org.detr2litert.core.pipeline.DetectorPipeline
import org.detr2litert.core.pipeline.FrameMailbox
import org.detr2litert.core.preprocess.Picture
import org.detr2litert.sample.litert.EngineException
import org.detr2litert.sample.litert.EngineOptions
import org.detr2litert.sample.litert.LiteRtSession
import java.io.File

/**
 * Owns the detector and the one thread that touches it.
 *
 * Everything about LiteRT happens on the inference thread, in order: opening, every run, closing. So nothing can be closed
 * while it runs. Calls from other threads only post; [Listener] is called on the main thread.
 */
class DetectorEngine(context: Context, private val listener: Listener) {
    interface Listener {
        /** A bundle is open; results come through [exchange] from now on. */
        fun onReady(manifest: Manifest, options: EngineOptions, compileMillis: Long, exchange: DetectionExchange)

        /** A new result lies in the exchange. */
        fun onResult()

        /** The bundle could not be opened or run; it is closed. [error] says why in one line. */
        fun onFailure(error: Exception)
    }

    /** Camera frames go in here; follow each with [frameArrived]. */
    val mailbox = FrameMailbox()

    /** Scores strictly above it are shown; takes effect with the next picture or [decodeAgain]. */
    @Volatile
    var threshold = DEFAULT_THRESHOLD

    /** IoU above which a box is dropped for a better one of its class; null, the original's way, drops none. */
    @Volatile
    var nmsIou: Float? = null

    private val thread = HandlerThread("inference", Process.THREAD_PRIORITY_DISPLAY).apply { start() }
    private val handler = Handler(thread.looper)
    private val main = Handler(Looper.getMainLooper())
    private val session = LiteRtSession(context.applicationContext)

    // Used by the inference thread alone.
    private var pipeline: DetectorPipeline? = null
    private var detections = Detections(0)
    private var exchange = DetectionExchange(0)
    private var shown: Picture? = null

    // Made once, because a lambda at every frame would be an allocation at every frame.
    private val work = Runnable { detectNewest() }
    private val announce = Runnable { if (!closed) listener.onResult() }

    // Used by the main thread alone: nothing is announced to a screen that is gone.
    private var closed = false

    /** Closes what is open and opens the bundle in [root]. */
    fun open(root: File, options: EngineOptions) = post {
        closePipeline()
        val start = System.nanoTime()
        val bundle = Bundle.open(root)
        val opened = session.open(bundle, options)
        pipeline = opened
        detections = Detections(opened.capacity)
        exchange = DetectionExchange(opened.capacity)
        shown = null
        val millis = (System.nanoTime() - start) / 1_000_000
        val ready = exchange
        main.post { if (!closed) listener.onReady(bundle.manifest, options, millis, ready) }
    }

    /** A frame was published in [mailbox]. */
    fun frameArrived() {
        handler.removeCallbacks(work)
        handler.post(work)
    }

    /** Detects in one still picture, which must not change afterwards. */
    fun detect(picture: Picture) = post { run(picture) }

    /** Decodes the last picture's outputs once more, after [threshold] or [nmsIou] changed. */
    fun decodeAgain() = post {
        val picture = shown
        val open = pipeline
        if (picture != null && open != null) {
            open.decode(picture.width, picture.height, threshold, nmsIou, detections)
            publish(open)
        }
    }

    /** Ends the thread after what is under way; the engine cannot be used afterwards. From the main thread. */
    fun close() {
        closed = true
        handler.removeCallbacksAndMessages(null)
        handler.post {
            closePipeline()
            session.close()
            thread.quitSafely()
        }
    }

    private fun detectNewest() = guarded { mailbox.take()?.let { run(it) } }

    private fun run(picture: Picture) {
        val open = pipeline ?: return
        open.detect(picture, threshold, nmsIou, detections)
        shown = picture
        publish(open)
    }

    private fun publish(open: DetectorPipeline) {
        exchange.put(detections, open.times)
        main.removeCallbacks(announce)
        main.post(announce)
    }

    private fun post(action: () -> Unit) {
        handler.post { guarded(action) }
    }

    /** Failures that a user can do something about are shown; anything else is a fault of this program and may crash. */
    private inline fun guarded(action: () -> Unit) {
        try {
            action()
        } catch (error: BundleException) {
            fail(error)
        } catch (error: EngineException) {
            fail(error)
        } catch (error: GraphOutputException) {
            fail(error)
        }
    }

    private fun fail(error: Exception) {
        closePipeline()
        main.post { if (!closed) listener.onFailure(error) }
    }

    private fun closePipeline() {
        pipeline?.close()
        pipeline = null
    }

    private companion object {
        const val DEFAULT_THRESHOLD = 0.5f
    }
}
