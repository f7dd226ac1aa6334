package org.detr2litert.sample.ui

import android.app.Activity
import android.view.TextureView
import android.view.View
import android.widget.Button
import android.widget.ImageView
import android.widget.SeekBar
import android.widget.TextView
import org.detr2litert.sample.R

/** The typed views of activity_main.xml. */
class MainViews(activity: Activity) {
    val preview = activity.findViewById(R.id.preview) as TextureView
    val still = activity.findViewById(R.id.still) as ImageView
    val overlay = activity.findViewById(R.id.overlay) as DetectionOverlay
    val hud = activity.findViewById(R.id.hud) as TextView
    val progress = activity.findViewById(R.id.progress) as View
    val threshold = activity.findViewById(R.id.threshold) as SeekBar
    val thresholdText = activity.findViewById(R.id.threshold_text) as TextView
    val live = activity.findViewById(R.id.live) as Button
    val gallery = activity.findViewById(R.id.gallery) as Button
    val sample = activity.findViewById(R.id.sample) as Button
    val bundle = activity.findViewById(R.id.bundle) as Button
    val options = activity.findViewById(R.id.options) as Button
    val error = activity.findViewById(R.id.error) as View
    val errorTitle = activity.findViewById(R.id.error_title) as TextView
    val errorMessage = activity.findViewById(R.id.error_message) as TextView
    val errorButton = activity.findViewById(R.id.error_button) as Button
}
