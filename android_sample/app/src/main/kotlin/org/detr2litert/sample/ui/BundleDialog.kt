package org.detr2litert.sample.ui

import android.app.Activity
import android.app.AlertDialog
import org.detr2litert.core.bundle.StoredBundle
import org.detr2litert.sample.R

/** Shows the bundles that are there, broken ones with what is wrong, and offers to import another. */
class BundleDialog(private val activity: Activity) {
    fun show(bundles: List<StoredBundle>, onChosen: (StoredBundle) -> Unit, onImport: () -> Unit): AlertDialog {
        val labels = bundles.map { label(it) }.toTypedArray<CharSequence>()
        return AlertDialog.Builder(activity)
            .setTitle(if (bundles.isEmpty()) R.string.no_bundle_title else R.string.choose_bundle)
            .setItems(labels) { _, index -> onChosen(bundles[index]) }
            .setPositiveButton(R.string.import_zip) { _, _ -> onImport() }
            .setNegativeButton(android.R.string.cancel, null)
            .show()
    }

    private fun label(bundle: StoredBundle): String {
        val manifest = bundle.manifest ?: return activity.getString(R.string.bundle_broken, bundle.root.name, bundle.problem)
        val pre = manifest.preprocess
        val line = activity.getString(
            R.string.bundle_line,
            bundle.root.name,
            manifest.variant,
            manifest.target,
            pre.width,
            pre.height,
        )
        return if (manifest.weights.random) activity.getString(R.string.bundle_random, line) else line
    }
}
