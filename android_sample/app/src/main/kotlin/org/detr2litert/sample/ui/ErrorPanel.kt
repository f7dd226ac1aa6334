package org.detr2litert.sample.ui

import android.view.View
import org.detr2litert.core.BundleException
import org.detr2litert.core.GraphOutputException
import org.detr2litert.core.engine.EngineException
import org.detr2litert.core.screen.Problem
import org.detr2litert.core.screen.ScreenEvent
import org.detr2litert.sample.R
import org.detr2litert.sample.pictures.PictureException

/** Shows a problem and the user's options. */
class ErrorPanel(private val views: MainViews, private val dispatch: (ScreenEvent) -> Unit) {
    private val context = views.error.context

    /** A button under the message. */
    private class Remedy(val label: Int, val event: ScreenEvent)

    fun show(problem: Problem) = when (problem) {
        is Problem.Failure -> show(
            title(problem.error),
            problem.error.message ?: problem.error.javaClass.simpleName,
            if (problem.offersCpu) Remedy(R.string.use_cpu, ScreenEvent.CpuChosen) else null,
        )

        Problem.NoBundle ->
            show(R.string.no_bundle_title, context.getString(R.string.no_bundle_message, context.packageName))

        is Problem.NoUsableBundle -> show(
            R.string.no_usable_bundle_title,
            problem.bundles.joinToString("\n\n") { context.getString(R.string.bundle_broken, it.root.name, it.problem) },
        )

        is Problem.NoSample -> show(R.string.error_picture, context.getString(R.string.no_sample, problem.name))

        is Problem.CameraDenied -> if (problem.forGood) {
            val remedy = Remedy(R.string.system_settings, ScreenEvent.SystemSettingsRequested)
            show(R.string.error_camera, context.getString(R.string.camera_denied_for_good), remedy)
        } else {
            show(R.string.error_camera, context.getString(R.string.camera_denied))
        }

        is Problem.CameraFailed -> show(R.string.error_camera, problem.reason)

        is Problem.NoFilePicker -> show(R.string.error_unexpected, context.getString(R.string.no_file_picker, problem.reason))
    }

    fun hide() {
        views.error.visibility = View.GONE
    }

    private fun show(titleId: Int, text: String, remedy: Remedy? = null) {
        views.errorTitle.setText(titleId)
        views.errorMessage.text = text
        views.errorButton.visibility = if (remedy == null) View.GONE else View.VISIBLE
        if (remedy != null) {
            views.errorButton.setText(remedy.label)
            views.errorButton.setOnClickListener { dispatch(remedy.event) }
        }
        views.error.visibility = View.VISIBLE
    }

    private fun title(error: Exception): Int = when (error) {
        is BundleException -> when (error.reason) {
            BundleException.Reason.MISSING -> R.string.error_missing
            BundleException.Reason.MANIFEST -> R.string.error_manifest
            BundleException.Reason.DAMAGED -> R.string.error_damaged
            BundleException.Reason.UNSAFE -> R.string.error_unsafe
            BundleException.Reason.UNSUPPORTED -> R.string.error_unsupported
        }

        is EngineException -> when (error.kind) {
            EngineException.Kind.NO_RUNTIME -> R.string.error_no_runtime
            EngineException.Kind.NO_GPU -> R.string.error_no_gpu
            EngineException.Kind.GPU_REFUSED -> R.string.error_gpu_refused
            EngineException.Kind.GRAPH -> R.string.error_graph
            EngineException.Kind.RUN -> R.string.error_run
        }

        is GraphOutputException -> R.string.error_run

        is PictureException -> R.string.error_picture

        else -> R.string.error_unexpected
    }
}
