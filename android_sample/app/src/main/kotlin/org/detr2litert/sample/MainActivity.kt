package org.detr2litert.sample

import android.Manifest
import android.app.Activity
import android.content.Context
import android.content.Intent
import android.content.pm.PackageManager
import android.hardware.camera2.CameraManager
import android.hardware.display.DisplayManager
import android.os.Bundle
import android.widget.SeekBar
import org.detr2litert.core.engine.FormInUse
import org.detr2litert.core.pipeline.DetectionExchange
import org.detr2litert.core.pipeline.SourceNumber
import org.detr2litert.core.screen.ScreenEvent
import org.detr2litert.core.screen.ScreenState
import org.detr2litert.core.screen.ScreenStore
import org.detr2litert.core.screen.Subject
import org.detr2litert.detector.engine.DetectorEngine
import org.detr2litert.sample.ui.DetectorScreen
import org.detr2litert.sample.ui.Dialogs
import org.detr2litert.sample.ui.LiveScreen
import org.detr2litert.sample.ui.MainViews
import org.detr2litert.sample.ui.SettingsStore
import org.detr2litert.core.bundle.Bundle as DetectorBundle

/**
 * The app's only activity: turns user, system and engine callbacks into events, and renders the resulting state.
 *
 * All decisions are in `org.detr2litert.core.screen`, where they are tested.
 */
class MainActivity : Activity() {
    private lateinit var engine: DetectorEngine
    private lateinit var screen: DetectorScreen
    private lateinit var dialogs: Dialogs
    private lateinit var effects: EffectRunner
    private lateinit var store: ScreenStore

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.activity_main)
        val views = MainViews(this)
        val settings = SettingsStore(getPreferences(MODE_PRIVATE))
        val sources = SourceNumber()
        val initial = ScreenState(
            settings = settings.read(),
            subject = Subject.of(savedInstanceState?.getString(STATE_SUBJECT)),
            isAskingForCamera = savedInstanceState?.getBoolean(STATE_ASKING) ?: false,
        )
        store = ScreenStore(initial, ::render) { effects.run(it) }
        engine = DetectorEngine(this, sources, EngineReports())
        effects = EffectRunner(this, engine, sources, settings, store::dispatch)
        dialogs = Dialogs(this, store::dispatch)
        val live = LiveScreen(
            views.preview,
            views.overlay,
            engine,
            sources,
            getSystemService(Context.CAMERA_SERVICE) as CameraManager,
            getSystemService(Context.DISPLAY_SERVICE) as DisplayManager,
        ) { reason -> store.dispatch(ScreenEvent.CameraFailed(reason)) }
        screen = DetectorScreen(views, live, sources, store::dispatch)
        views.threshold.max = THRESHOLD_STEPS
        render(null, initial)
        listen(views)
    }

    override fun onResume() {
        super.onResume()
        store.dispatch(ScreenEvent.Resumed(mayUseCamera()))
    }

    override fun onPause() {
        store.dispatch(ScreenEvent.Paused)
        super.onPause()
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        outState.putString(STATE_SUBJECT, store.state.subject.toText())
        outState.putBoolean(STATE_ASKING, store.state.isAskingForCamera)
    }

    override fun onDestroy() {
        dialogs.close()
        effects.close()
        engine.close()
        super.onDestroy()
    }

    override fun onRequestPermissionsResult(requestCode: Int, permissions: Array<String>, grantResults: IntArray) {
        if (requestCode != EffectRunner.REQUEST_CAMERA) return
        val mayAskAgain = shouldShowRequestPermissionRationale(Manifest.permission.CAMERA)
        store.dispatch(ScreenEvent.CameraAnswered(mayUseCamera(), mayAskAgain))
    }

    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        super.onActivityResult(requestCode, resultCode, data)
        val uri = data?.data
        if (resultCode != RESULT_OK || uri == null) return
        when (requestCode) {
            EffectRunner.REQUEST_PICTURE -> store.dispatch(ScreenEvent.SubjectChosen(Subject.Chosen(uri.toString())))
            EffectRunner.REQUEST_BUNDLE -> store.dispatch(ScreenEvent.ImportChosen(uri.toString()))
        }
    }

    private fun render(before: ScreenState?, now: ScreenState) {
        engine.threshold = now.settings.threshold
        engine.nmsIou = now.settings.nmsIou
        engine.nmsAcrossClasses = now.settings.nmsAcrossClasses
        screen.render(before, now)
        dialogs.render(before, now)
    }

    private fun mayUseCamera() = checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED

    private fun listen(views: MainViews) {
        views.live.setOnClickListener { store.dispatch(ScreenEvent.SubjectChosen(Subject.Live)) }
        views.gallery.setOnClickListener { store.dispatch(ScreenEvent.PictureRequested) }
        views.sample.setOnClickListener { store.dispatch(ScreenEvent.SubjectChosen(Subject.Sample)) }
        views.bundle.setOnClickListener { store.dispatch(ScreenEvent.BundlesRequested) }
        views.options.setOnClickListener { store.dispatch(ScreenEvent.OptionsRequested) }
        views.threshold.setOnSeekBarChangeListener(object : SeekBar.OnSeekBarChangeListener {
            override fun onProgressChanged(bar: SeekBar, progress: Int, fromUser: Boolean) {
                // Ignores changes made by rendering.
                if (fromUser) store.dispatch(ScreenEvent.ThresholdChosen(progress.toFloat() / THRESHOLD_STEPS))
            }

            override fun onStartTrackingTouch(bar: SeekBar) = Unit

            override fun onStopTrackingTouch(bar: SeekBar) = Unit
        })
    }

    private inner class EngineReports : DetectorEngine.Listener {
        override fun onReady(
            request: Int,
            bundle: DetectorBundle,
            form: FormInUse,
            openMillis: Long,
            exchange: DetectionExchange,
        ) = store.dispatch(
            ScreenEvent.BundleOpened(request, bundle.manifest, bundle.manifestSha256, form, openMillis, exchange),
        )

        override fun onResult() = screen.showResult(store.state)

        override fun onFailure(request: Int, error: Exception) = store.dispatch(ScreenEvent.DetectorFailed(request, error))
    }

    private companion object {
        const val THRESHOLD_STEPS = 100
        const val STATE_SUBJECT = "subject"
        const val STATE_ASKING = "asking"
    }
}
