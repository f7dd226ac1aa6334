package org.detr2litert.sample.ui

import android.view.View
import android.widget.Button
import android.widget.TextView
import org.detr2litert.core.BundleException
import org.detr2litert.core.GraphOutputException
import org.detr2litert.core.engine.EngineException
import org.detr2litert.sample.R
import org.detr2litert.sample.pictures.PictureException

/** The screen that says what is wrong and what can be done about it. */
class ErrorPanel(
    private val panel: View,
    private val title: TextView,
    private val message: TextView,
    private val button: Button,
) {
    /** What the user may do about it: a button under the message. */
    class Remedy(val label: Int, val action: () -> Unit)

    fun show(error: Exception, remedy: Remedy? = null) =
        show(title(error), error.message ?: error.javaClass.simpleName, remedy)

    fun show(titleId: Int, text: String, remedy: Remedy? = null) {
        title.setText(titleId)
        message.text = text
        button.visibility = if (remedy == null) View.GONE else View.VISIBLE
        if (remedy != null) {
            button.setText(remedy.label)
            button.setOnClickListener { remedy.action() }
        }
        panel.visibility = View.VISIBLE
    }

    fun hide() {
        panel.visibility = View.GONE
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
