package org.detr2litert.sample.ui

import android.view.View
import org.detr2litert.core.manifest.Manifest
import org.detr2litert.sample.R
import org.detr2litert.sample.engine.DetectionExchange
import org.detr2litert.sample.engine.DetectorEngine
import org.detr2litert.sample.litert.EngineOptions
import org.detr2litert.sample.litert.Precision
import org.detr2litert.sample.litert.Processor
import org.detr2litert.sample.pictures.LoadedPicture
import java.io.File

/**
 * What is on the screen: the live preview or one still picture, with detections over it, or an error. Main thread only.
 *
 * @param onUseCpu the user asked for the CPU after the GPU failed.
 */
class DetectorScreen(private val views: MainViews, private val onUseCpu: () -> Unit) : DetectorEngine.Listener {
    private val hud = Hud(views.hud)
    private var exchange: DetectionExchange? = null

    /** Whether pictures come from the camera. */
    var isLive = false
        private set

    /** Whether a bundle is open. */
    val isReady: Boolean get() = exchange != null

    /** Called when a bundle has been opened. */
    var whenReady: (Manifest) -> Unit = {}

    /** A bundle is being opened: nothing old stays on the screen. */
    fun showOpening(root: File) {
        exchange = null
        views.error.hide()
        views.progress.visibility = View.VISIBLE
        hud.title = views.hud.context.getString(R.string.opening, root.name)
        hud.clear()
        views.overlay.clear()
    }

    fun showLive() {
        isLive = true
        views.error.hide()
        views.still.visibility = View.GONE
        views.still.setImageBitmap(null)
        views.overlay.clear()
    }

    /** Shows a picture and lets the engine look at it. */
    fun showStill(picture: LoadedPicture, engine: DetectorEngine) {
        isLive = false
        views.error.hide()
        views.still.setImageBitmap(picture.bitmap)
        views.still.visibility = View.VISIBLE
        views.overlay.clear()
        engine.detect(picture.pixels)
    }

    fun showError(error: Exception) {
        views.progress.visibility = View.GONE
        views.overlay.clear()
        views.error.show(error, onUseCpu)
    }

    override fun onReady(manifest: Manifest, options: EngineOptions, compileMillis: Long, exchange: DetectionExchange) {
        this.exchange = exchange
        views.progress.visibility = View.GONE
        views.overlay.prepare(exchange.capacity, manifest.classes.indices.map { manifest.className(it) })
        hud.title = title(manifest, options, compileMillis)
        hud.clear()
        whenReady(manifest)
    }

    override fun onResult() {
        val results = exchange ?: return
        results.take(views.overlay.detections)
        views.overlay.invalidate()
        hud.update(results, views.overlay.detections.count, isLive)
    }

    override fun onFailure(error: Exception) {
        exchange = null
        showError(error)
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
}
