package org.detr2litert.sample.ui

import android.view.View
import org.detr2litert.core.GraphOutputException
import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.engine.EngineException
import org.detr2litert.core.engine.EngineOptions
import org.detr2litert.core.engine.Precision
import org.detr2litert.core.engine.Processor
import org.detr2litert.core.manifest.Manifest
import org.detr2litert.core.pipeline.DetectionExchange
import org.detr2litert.core.pipeline.SourceNumber
import org.detr2litert.detector.engine.DetectorEngine
import org.detr2litert.sample.R
import org.detr2litert.sample.pictures.LoadedPicture
import java.io.File

/**
 * What is on the screen: the live preview or one still picture, with detections over it, or an error. Main thread only.
 *
 * @param onUseCpu the user asked for the CPU after the GPU failed.
 */
class DetectorScreen(private val views: MainViews, private val sources: SourceNumber, private val onUseCpu: () -> Unit) :
    DetectorEngine.Listener {
    private val hud = Hud(views.hud)
    private var exchange: DetectionExchange? = null
    private var options = EngineOptions()

    /** Whether pictures come from the camera. */
    var isLive = false
        private set

    /** Whether a bundle is being looked for, imported or opened. */
    var isOpening = false
        private set

    /** Whether a bundle is open. */
    val isReady: Boolean get() = exchange != null

    /** Called when a bundle has been opened. */
    var whenReady: (Bundle) -> Unit = {}

    /** Called when a bundle could not be opened or run. */
    var whenFailed: () -> Unit = {}

    /** Bundles are being looked for, or one is being imported. */
    fun showLooking() {
        isOpening = true
        showWaiting()
    }

    /** A bundle is being opened: nothing old stays on the screen. */
    fun showOpening(root: File, options: EngineOptions) {
        exchange = null
        isOpening = true
        this.options = options
        leave()
        showWaiting()
        hud.title = views.hud.context.getString(R.string.opening, root.name)
        hud.clear()
    }

    fun showLive() {
        isLive = true
        leave()
        views.progress.visibility = View.GONE
        views.error.hide()
        views.still.visibility = View.GONE
        views.still.setImageBitmap(null)
    }

    /** A picture is being loaded: results of what was shown until now are not shown any more. @return its source. */
    fun showLoading(): Int {
        isLive = false
        showWaiting()
        return leave()
    }

    /** Shows a picture and lets the engine look at it. */
    fun showStill(picture: LoadedPicture, source: Int, engine: DetectorEngine) {
        views.progress.visibility = View.GONE
        views.still.setImageBitmap(picture.bitmap)
        views.still.contentDescription = views.still.context.getString(R.string.still_description)
        views.still.visibility = View.VISIBLE
        engine.detect(picture.pixels, source)
    }

    fun showError(error: Exception) {
        val ofGpu = options.processor == Processor.GPU &&
            (error is GraphOutputException || (error is EngineException && error.kind in GPU_FAULTS))
        // Offered only: the CPU is never taken without being asked for.
        showError(ofGpu) { views.error.show(error, it) }
    }

    fun showError(title: Int, text: String, remedy: ErrorPanel.Remedy? = null) =
        showError(false) { views.error.show(title, text, remedy) }

    override fun onReady(request: Int, bundle: Bundle, openMillis: Long, exchange: DetectionExchange) {
        this.exchange = exchange
        isOpening = false
        val manifest = bundle.manifest
        views.progress.visibility = View.GONE
        views.overlay.prepare(exchange.capacity, manifest.classes.indices.map { manifest.className(it) })
        hud.title = title(manifest, options, openMillis)
        hud.clear()
        whenReady(bundle)
    }

    override fun onResult() {
        val results = exchange ?: return
        if (!results.take(sources.current, views.overlay.detections)) return
        views.overlay.invalidate()
        hud.update(results, views.overlay.detections.count, isLive)
        if (!isLive) views.still.contentDescription = spoken()
    }

    override fun onFailure(request: Int, error: Exception) {
        exchange = null
        whenFailed()
        showError(error)
    }

    private inline fun showError(ofGpu: Boolean, show: (ErrorPanel.Remedy?) -> Unit) {
        isOpening = false
        views.progress.visibility = View.GONE
        leave()
        show(if (ofGpu) ErrorPanel.Remedy(R.string.use_cpu, onUseCpu) else null)
    }

    private fun showWaiting() {
        views.error.hide()
        views.progress.visibility = View.VISIBLE
    }

    /** What is still being looked at is not wanted any more. @return the number of what comes. */
    private fun leave(): Int {
        views.overlay.clear()
        return sources.next()
    }

    /** A still picture and what was found in it, for who cannot see it. */
    private fun spoken(): String {
        val context = views.still.context
        val found = views.overlay.found()
        return if (found.isEmpty()) {
            context.getString(R.string.still_nothing)
        } else {
            context.getString(R.string.still_found, found.joinToString())
        }
    }

    private fun title(manifest: Manifest, options: EngineOptions, compileMillis: Long): String {
        val context = views.hud.context
        val where = when (options.processor) {
            Processor.CPU -> context.getString(R.string.on_cpu, options.cpuThreads)
            Processor.GPU -> context.getString(R.string.on_gpu, precision(options.precision))
        }
        val line = context.getString(R.string.hud_title, manifest.variant, where, compileMillis)
        return if (manifest.weights.random) context.getString(R.string.bundle_random, line) else line
    }

    private fun precision(precision: Precision): String = when (precision) {
        Precision.DEFAULT -> views.hud.context.getString(R.string.precision_default)
        Precision.FP16 -> views.hud.context.getString(R.string.precision_fp16)
        Precision.FP16_FP32_SUMS -> views.hud.context.getString(R.string.precision_fp16_fp32)
        Precision.FP32 -> views.hud.context.getString(R.string.precision_fp32)
    }

    private companion object {
        val GPU_FAULTS = setOf(EngineException.Kind.NO_GPU, EngineException.Kind.GPU_REFUSED, EngineException.Kind.RUN)
    }
}
