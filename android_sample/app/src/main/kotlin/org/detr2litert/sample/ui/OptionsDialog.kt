package org.detr2litert.sample.ui

import android.app.Activity
import android.app.AlertDialog
import android.widget.ArrayAdapter
import android.widget.CheckBox
import android.widget.Spinner
import org.detr2litert.core.engine.EngineOptions
import org.detr2litert.core.engine.Precision
import org.detr2litert.core.engine.Processor
import org.detr2litert.core.screen.Suppression
import org.detr2litert.sample.R

/** The dialog of engine options and NMS. */
class OptionsDialog(private val activity: Activity) {
    /** @param onChosen called with the choices if the user confirms. */
    fun show(engine: EngineOptions, nms: Suppression, onChosen: (EngineOptions, Suppression) -> Unit): AlertDialog {
        val view = activity.layoutInflater.inflate(R.layout.dialog_options, null)
        val processor = view.findViewById(R.id.option_processor) as Spinner
        val precision = view.findViewById(R.id.option_precision) as Spinner
        val cache = view.findViewById(R.id.option_cache) as CheckBox
        val share = view.findViewById(R.id.option_share) as CheckBox
        val suppress = view.findViewById(R.id.option_nms) as Spinner
        choices(processor, listOf(R.string.processor_gpu, R.string.processor_cpu), engine.processor.ordinal)
        choices(
            precision,
            listOf(R.string.precision_default, R.string.precision_fp16, R.string.precision_fp16_fp32, R.string.precision_fp32),
            engine.precision.ordinal,
        )
        choices(suppress, listOf(R.string.nms_off, R.string.nms_of_a_class, R.string.nms_across_classes), nms.ordinal)
        cache.isChecked = engine.cache
        share.isChecked = engine.shareBuffers
        return AlertDialog.Builder(activity)
            .setTitle(R.string.options)
            .setView(view)
            .setNegativeButton(android.R.string.cancel, null)
            .setPositiveButton(android.R.string.ok) { _, _ ->
                val chosen = engine.copy(
                    processor = Processor.entries[processor.selectedItemPosition],
                    precision = Precision.entries[precision.selectedItemPosition],
                    cache = cache.isChecked,
                    shareBuffers = share.isChecked,
                )
                onChosen(chosen, Suppression.entries[suppress.selectedItemPosition])
            }
            .show()
    }

    private fun choices(spinner: Spinner, labels: List<Int>, selected: Int) {
        val texts = labels.map { activity.getString(it) }
        spinner.adapter = ArrayAdapter(activity, android.R.layout.simple_spinner_dropdown_item, texts)
        spinner.setSelection(selected)
    }
}
