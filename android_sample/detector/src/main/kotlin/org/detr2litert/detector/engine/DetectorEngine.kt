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
import org.detr2litert.core.engine.FormInUse
import org.detr2litert.core.pipeline.DetectionExchange
import org.detr2litert.core.pipeline.DetectorPipeline
import org.detr2litert.core.pipeline.FrameMailbox
import org.detr2litert.core.pipeline.SourceNumber
import org.detr2litert.core.preprocess.Picture
import org.detr2litert.detector.litert.LiteRtSession
import java.io.File

/**
 * An asynchronous detector for a stream of pictures, with reused memory.
 *
 * Opening, running and closing happen in order on the process's inference thread, so nothing is closed while it runs. Calls
 * only post to it; [Listener] is called on the main thread.
 *
 * @param sources the source now shown: pictures of older sources are skipped.
 */
class DetectorEngine(context: Context, private val sources: SourceNumber, private val listener: Listener) {
    /** Callbacks on the main thread; `request` is the number passed to [open]. */
    interface Listener {
        /** A bundle is open, its graphs in [form]; results come through [exchange] from now on. */
        fun onReady(
            request: Int,
            bundle: Bundle,
            form: FormInUse,
            openMillis: Long,
            exchange: DetectionExchange,
        )

        /** A new result is in the exchange. */
        fun onResult()

        /** The bundle could not be opened or run, and is closed. [error]'s message is one line. */
        fun onFailure(request: Int, error: Exception)
    }

    /** The source of camera frames; call [frameArrived] after each. */
    @Volatile
    var mailbox = FrameMailbox()

    /** Exclusive lower bound of the scores; takes effect with the next picture or [decodeAgain]. */
    @Volatile
    var threshold = DEFAULT_THRESHOLD

    /** The IoU above which a box is suppressed by a better one of its class; null, as in the original, for no NMS. */
    @Volatile
    var nmsIou: Float? = null

    /** With [nmsIou]: whether a better box of any class suppresses. */
    @Volatile
    var nmsAcrossClasses = false

    private val context = context.applicationContext
    private val handler = Handler(InferenceThread.looper)
    private val main = Handler(Looper.getMainLooper())

    // Used on the inference thread only.
    private var session: LiteRtSession? = null
    private var pipeline: DetectorPipeline? = null
    private var opened = 0
    private var detections = Detections(0)
    private var exchange = DetectionExchange(0)
    private var source = 0
    private var width = 0
    private var height = 0

    // Fields, because a lambda per frame would allocate.
    private val work = Runnable { detectNewest() }
    private val announce = Runnable { if (!closed) listener.onResult() }

    // Written on the main thread only: suppresses callbacks after close, and for a bundle that another one replaced.
    private var closed = false

    @Volatile
    private var requested = 0

    /**
     * Closes the open bundle and opens the one in [root]; skips an earlier opening that has not started yet.
     *
     * @param request a unique number, passed to the [Listener]'s callbacks.
     */
    fun open(root: File, options: EngineOptions, request: Int) {
        requested = request
        post {
            if (request == requested) {
                opened = request
                openNow(root, options, request)
            }
        }
    }

    /** Processes the frame just published in [mailbox]. */
    fun frameArrived() {
        handler.removeCallbacks(work)
        handler.post(work)
    }

    /** Detects in one still picture, which must not change afterwards. */
    fun detect(picture: Picture, source: Int) = post { if (sources.isCurrent(source)) run(picture, source) }

    /** Decodes the last picture's outputs once more, after a change of [threshold] or [nmsIou]. */
    fun decodeAgain() = post {
        val open = pipeline
        if (open != null && width > 0) {
            open.decode(width, height, threshold, nmsIou, detections, nmsAcrossClasses)
            publish(open)
        }
    }

    /** Closes everything after the running work; the engine cannot be used afterwards. Called on the main thread. */
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
        main.post { if (!closed && request == requested) listener.onReady(request, bundle, made.form, millis, ready) }
    }

    private fun detectNewest() = guarded { mailbox.take(sources.current)?.let { run(it.picture, it.source) } }

    private fun run(picture: Picture, from: Int) {
        val open = pipeline ?: return
        // The HUD shows times of the current source only.
        if (from != source) open.times.clear()
        source = from
        open.detect(picture, threshold, nmsIou, detections, nmsAcrossClasses)
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

    /** Reports failures that a user can act on; anything else is a bug and may crash. */
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
        main.post { if (!closed && request == requested) listener.onFailure(request, error) }
    }

    private fun closePipeline() {
        pipeline?.close()
        pipeline = null
    }

    private companion object {
        const val DEFAULT_THRESHOLD = 0.5f
    }
}
