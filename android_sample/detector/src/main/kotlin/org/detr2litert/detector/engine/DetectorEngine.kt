package org.detr2litert.detector.engine

import android.content.Context
import android.os.Handler
import android.os.Looper
import org.detr2litert.core.BundleException
import org.detr2litert.core.GraphOutputException
import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.decode.Detections
import org.detr2litert.core.engine.EngineException
import org.detr2litert.core.engine.EngineOptions
import org.detr2litert.core.pipeline.DetectionExchange
import org.detr2litert.core.pipeline.DetectorPipeline
import org.detr2litert.core.pipeline.FrameMailbox
import org.detr2litert.core.pipeline.SourceNumber
import org.detr2litert.core.preprocess.Picture
import org.detr2litert.detector.litert.LiteRtSession
import java.io.File

/**
 * A detector for a stream of pictures: nothing waits for it, and the same memory serves every picture.
 *
 * Everything about LiteRT happens there, in order: opening, every run, closing. So nothing can be closed while it runs. Calls
 * from other threads only post; [Listener] is called on the main thread.
 *
 * @param sources what is shown now: pictures of an older source are not looked at any more.
 */
class DetectorEngine(context: Context, private val sources: SourceNumber, private val listener: Listener) {
    /** What the engine reports; `request` is the number that [open] was given. On the main thread. */
    interface Listener {
        /** A bundle is open; results come through [exchange] from now on. */
        fun onReady(request: Int, bundle: Bundle, openMillis: Long, exchange: DetectionExchange)

        /** A new result lies in the exchange. */
        fun onResult()

        /** The bundle could not be opened or run; it is closed. [error] says why in one line. */
        fun onFailure(request: Int, error: Exception)
    }

    /** Where camera frames come from; follow each with [frameArrived]. */
    @Volatile
    var mailbox = FrameMailbox()

    /** Scores strictly above it are shown; takes effect with the next picture or [decodeAgain]. */
    @Volatile
    var threshold = DEFAULT_THRESHOLD

    /** IoU above which a box is dropped for a better one of its class; null, the original's way, drops none. */
    @Volatile
    var nmsIou: Float? = null

    private val context = context.applicationContext
    private val handler = Handler(InferenceThread.looper)
    private val main = Handler(Looper.getMainLooper())

    // Used by the inference thread alone.
    private var session: LiteRtSession? = null
    private var pipeline: DetectorPipeline? = null
    private var opened = 0
    private var detections = Detections(0)
    private var exchange = DetectionExchange(0)
    private var source = 0
    private var width = 0
    private var height = 0

    // Made once, because a lambda at every frame would be an allocation at every frame.
    private val work = Runnable { detectNewest() }
    private val announce = Runnable { if (!closed) listener.onResult() }

    // Written by the main thread alone: nothing is announced to a screen that is gone, or of a bundle that another followed.
    private var closed = false

    @Volatile
    private var wanted = 0

    /**
     * Closes what is open and opens the bundle in [root]; an opening that has not begun yet is left out.
     *
     * @param request another number for each opening; what the [Listener] hears of this one carries it.
     */
    fun open(root: File, options: EngineOptions, request: Int) {
        wanted = request
        post {
            if (request == wanted) {
                opened = request
                openNow(root, options, request)
            }
        }
    }

    /** A frame was published in [mailbox]. */
    fun frameArrived() {
        handler.removeCallbacks(work)
        handler.post(work)
    }

    /** Detects in one still picture, which must not change afterwards. */
    fun detect(picture: Picture, source: Int) = post { if (sources.isCurrent(source)) run(picture, source) }

    /** Decodes the last picture's outputs once more, after [threshold] or [nmsIou] changed. */
    fun decodeAgain() = post {
        val open = pipeline
        if (open != null && width > 0) {
            open.decode(width, height, threshold, nmsIou, detections)
            publish(open)
        }
    }

    /** Closes everything after what is under way; the engine cannot be used afterwards. From the main thread. */
    fun close() {
        closed = true
        handler.removeCallbacksAndMessages(null)
        handler.post {
            closePipeline()
            if (session != null) InferenceThread.release()
            session = null
        }
    }

    private fun openNow(root: File, options: EngineOptions, request: Int) {
        closePipeline()
        val start = System.nanoTime()
        val bundle = Bundle.open(root)
        val litert = session ?: InferenceThread.acquire(context).also { session = it }
        val made = litert.open(bundle, options)
        pipeline = made
        detections = Detections(made.capacity)
        val ready = DetectionExchange(made.capacity).also { exchange = it }
        width = 0
        val millis = (System.nanoTime() - start) / 1_000_000
        main.post { if (!closed && request == wanted) listener.onReady(request, bundle, millis, ready) }
    }

    private fun detectNewest() = guarded { mailbox.take(sources.current)?.let { run(it.picture, it.source) } }

    private fun run(picture: Picture, from: Int) {
        val open = pipeline ?: return
        // The times shown are of what is shown.
        if (from != source) open.times.clear()
        source = from
        open.detect(picture, threshold, nmsIou, detections)
        width = picture.width
        height = picture.height
        publish(open)
    }

    private fun publish(open: DetectorPipeline) {
        exchange.put(source, detections, open.times)
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
        val request = opened
        main.post { if (!closed && request == wanted) listener.onFailure(request, error) }
    }

    private fun closePipeline() {
        pipeline?.close()
        pipeline = null
    }

    private companion object {
        const val DEFAULT_THRESHOLD = 0.5f
    }
}
