package org.detr2litert.sample.ui

import android.view.View
import org.detr2litert.core.engine.GraphForm
import org.detr2litert.core.engine.Precision
import org.detr2litert.core.engine.Processor
import org.detr2litert.core.pipeline.SourceNumber
import org.detr2litert.core.screen.BundleState
import org.detr2litert.core.screen.ScreenEvent
import org.detr2litert.core.screen.ScreenState
import org.detr2litert.core.screen.Shown
import org.detr2litert.sample.R
import org.detr2litert.sample.pictures.LoadedPicture

/**
 * Renders the state to the views: live preview or still picture with detections, or an error. Main thread only.
 *
 * Makes no decisions. Only detections are rendered outside the state, at every frame.
 */
class DetectorScreen(
    private val views: MainViews,
    private val live: LiveScreen,
    private val sources: SourceNumber,
    dispatch: (ScreenEvent) -> Unit,
) {
    private val context = views.hud.context
    private val hud = Hud(views.hud)
    private val error = ErrorPanel(views, dispatch)

    /** Renders [now]; [before] is the state shown until now, or null at the start. */
    fun render(before: ScreenState?, now: ScreenState) {
        if (now.bundle != before?.bundle) showBundle(now.bundle)
        // Results for an older scene are no longer shown.
        if (now.scene != before?.scene) {
            views.overlay.clear()
            sources.next()
        }
        if (now.shown != before?.shown) show(now.shown)
        if (now.settings.threshold != before?.settings?.threshold) showThreshold(now.settings.threshold)
        if (!now.cameraRuns) {
            live.stop()
        } else if (before?.cameraRuns != true || now.scene != before.scene) {
            live.start()
        }
    }

    /** Draws the newest detections if they belong to the scene of [state]. */
    fun showResult(state: ScreenState) {
        val results = (state.bundle as? BundleState.Ready)?.exchange ?: return
        if (!results.take(sources.current, views.overlay.detections)) return
        views.overlay.refresh()
        val isLive = state.shown == Shown.Live
        hud.update(results, views.overlay.detections.count, isLive)
        if (!isLive) views.still.contentDescription = spoken()
    }

    private fun showBundle(bundle: BundleState) {
        when (bundle) {
            is BundleState.Opening -> hud.title = context.getString(R.string.opening, bundle.root.name)

            is BundleState.Ready -> {
                val manifest = bundle.manifest
                views.overlay.prepare(bundle.exchange.capacity, manifest)
                hud.title = title(bundle)
            }

            is BundleState.Failed, BundleState.None -> return
        }
        hud.clear()
    }

    private fun show(shown: Shown) {
        views.progress.visibility = if (shown is Shown.Waiting || shown is Shown.Loading) View.VISIBLE else View.GONE
        if (shown is Shown.Error) error.show(shown.problem) else error.hide()
        when (shown) {
            Shown.Live -> {
                views.still.visibility = View.GONE
                views.still.setImageBitmap(null)
            }

            is Shown.Still -> {
                views.still.setImageBitmap((shown.picture as LoadedPicture).bitmap)
                views.still.contentDescription = context.getString(R.string.still_description)
                views.still.visibility = View.VISIBLE
            }

            // The previous picture stays visible until the next one is loaded.
            is Shown.Loading, is Shown.Error, Shown.Waiting, Shown.Nothing -> Unit
        }
    }

    private fun showThreshold(threshold: Float) {
        views.threshold.progress = Math.round(threshold * views.threshold.max)
        views.thresholdText.text = context.getString(R.string.threshold, threshold)
    }

    /** Describes a still picture and its detections for accessibility. */
    private fun spoken(): String {
        val found = views.overlay.found()
        return if (found.isEmpty()) {
            context.getString(R.string.still_nothing)
        } else {
            context.getString(R.string.still_found, found.joinToString())
        }
    }

    private fun title(bundle: BundleState.Ready): String {
        val where = when (bundle.options.processor) {
            Processor.CPU -> context.getString(R.string.on_cpu, bundle.options.cpuThreads)
            Processor.GPU -> context.getString(R.string.on_gpu, precision(bundle.options.precision), form(bundle.form.form))
        }
        val line = context.getString(R.string.hud_title, bundle.manifest.variant, where, bundle.openMillis)
        val title = if (bundle.manifest.weights.random) context.getString(R.string.bundle_random, line) else line
        val refusal = bundle.form.refusal ?: return title
        return title + '\n' + context.getString(R.string.native_refused, refusal.take(REFUSAL_SHOWN))
    }

    private fun form(form: GraphForm): String = when (form) {
        GraphForm.NATIVE -> context.getString(R.string.form_native)
        GraphForm.PORTABLE -> context.getString(R.string.form_portable)
    }

    private fun precision(precision: Precision): String = when (precision) {
        Precision.DEFAULT -> context.getString(R.string.precision_default)
        Precision.FP16 -> context.getString(R.string.precision_fp16)
        Precision.FP16_FP32_SUMS -> context.getString(R.string.precision_fp16_fp32)
        Precision.FP32 -> context.getString(R.string.precision_fp32)
    }

    private companion object {
        /** Characters; logcat has the whole reason. */
        const val REFUSAL_SHOWN = 160
    }
}
