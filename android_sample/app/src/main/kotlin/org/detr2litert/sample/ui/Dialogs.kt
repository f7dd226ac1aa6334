package org.detr2litert.sample.ui

import android.app.Activity
import android.app.AlertDialog
import org.detr2litert.core.screen.Dialog
import org.detr2litert.core.screen.ScreenEvent
import org.detr2litert.core.screen.ScreenState

/** Shows the state's dialog: at most one, and none in a finishing activity. Main thread only. */
class Dialogs(private val activity: Activity, private val dispatch: (ScreenEvent) -> Unit) {
    private var alert: AlertDialog? = null

    /** Shows or closes the dialog if the state's dialog has changed. */
    fun render(before: ScreenState?, now: ScreenState) {
        if (now.dialog == before?.dialog) return
        close()
        if (!activity.isFinishing) now.dialog?.let { show(it, now) }
    }

    /** Closes the dialog without an event. */
    fun close() {
        val open = alert
        alert = null
        open?.dismiss()
    }

    private fun show(dialog: Dialog, state: ScreenState) {
        val shown = when (dialog) {
            is Dialog.Bundles -> BundleDialog(activity).show(
                dialog.bundles,
                { dispatch(ScreenEvent.BundleChosen(it.root)) },
                { dispatch(ScreenEvent.ImportRequested) },
            )

            Dialog.Options -> OptionsDialog(activity).show(state.settings.engine, state.settings.nms) { engine, nms ->
                dispatch(ScreenEvent.OptionsChosen(engine, nms))
            }
        }
        alert = shown
        // Called asynchronously after dismissal: another dialog may be open by then and must not be closed.
        shown.setOnDismissListener {
            if (alert === shown) {
                alert = null
                dispatch(ScreenEvent.DialogClosed)
            }
        }
    }
}
