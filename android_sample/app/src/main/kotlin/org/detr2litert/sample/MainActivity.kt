package org.detr2litert.sample

import android.Manifest
import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.Context
import android.content.Intent
import android.content.pm.PackageManager
import android.hardware.camera2.CameraManager
import android.hardware.display.DisplayManager
import android.net.Uri
import android.os.Bundle
import android.widget.SeekBar
import org.detr2litert.core.bundle.StoredBundle
import org.detr2litert.sample.bundles.BundleStore
import org.detr2litert.sample.engine.DetectorEngine
import org.detr2litert.sample.litert.Processor
import org.detr2litert.sample.pictures.LoadedPicture
import org.detr2litert.sample.pictures.PictureLoader
import org.detr2litert.sample.ui.Background
import org.detr2litert.sample.ui.BundleDialog
import org.detr2litert.sample.ui.DetectorScreen
import org.detr2litert.sample.ui.LiveScreen
import org.detr2litert.sample.ui.MainViews
import org.detr2litert.sample.ui.OptionsDialog
import org.detr2litert.sample.ui.Settings
import java.io.File
import org.detr2litert.core.manifest.Manifest as BundleManifest

/** Ties the parts together: what the user asks for goes to the engine, what the system asks for to the screens. */
class MainActivity : Activity() {
    private lateinit var views: MainViews
    private lateinit var settings: Settings
    private lateinit var engine: DetectorEngine
    private lateinit var screen: DetectorScreen
    private lateinit var liveScreen: LiveScreen
    private lateinit var store: BundleStore
    private val background = Background()
    private val pictures by lazy { PictureLoader(contentResolver) }
    private var openRoot: File? = null
    private var manifest: BundleManifest? = null
    private var wantsLive = true

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.activity_main)
        views = MainViews(this)
        settings = Settings(getPreferences(MODE_PRIVATE))
        store = BundleStore(applicationContext)
        screen = DetectorScreen(views, ::useCpu)
        engine = DetectorEngine(this, screen)
        screen.whenReady = ::bundleIsReady
        liveScreen = LiveScreen(
            views.preview,
            views.overlay,
            engine,
            getSystemService(Context.CAMERA_SERVICE) as CameraManager,
            getSystemService(Context.DISPLAY_SERVICE) as DisplayManager,
        ) { reason -> views.error.show(R.string.error_camera, reason) }
        views.live.setOnClickListener { askForLive() }
        views.gallery.setOnClickListener { pick("image/*", REQUEST_PICTURE) }
        views.sample.setOnClickListener { showSample() }
        views.bundle.setOnClickListener { chooseBundle() }
        views.options.setOnClickListener { chooseOptions() }
        followThreshold()
        openFirstBundle()
    }

    override fun onResume() {
        super.onResume()
        if (wantsLive && screen.isReady) startLiveIfAllowed()
    }

    override fun onPause() {
        liveScreen.stop()
        super.onPause()
    }

    override fun onDestroy() {
        background.close()
        engine.close()
        super.onDestroy()
    }

    override fun onRequestPermissionsResult(requestCode: Int, permissions: Array<String>, grantResults: IntArray) {
        if (requestCode != REQUEST_CAMERA) return
        if (grantResults.firstOrNull() == PackageManager.PERMISSION_GRANTED) {
            startLiveIfAllowed()
        } else {
            wantsLive = false
            views.error.show(R.string.error_camera, getString(R.string.camera_denied))
        }
    }

    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        super.onActivityResult(requestCode, resultCode, data)
        val uri = data?.data
        if (resultCode != RESULT_OK || uri == null) return
        when (requestCode) {
            REQUEST_PICTURE -> showPicture { pictures.load(uri) }
            REQUEST_BUNDLE -> importBundle(uri)
        }
    }

    // Bundles

    private fun openFirstBundle() = background.run(store::list, { bundles ->
        val sound = bundles.filter { it.manifest != null }
        val chosen = sound.firstOrNull { it.root.name == settings.bundle } ?: sound.firstOrNull()
        if (chosen == null) {
            views.error.show(R.string.no_bundle_title, getString(R.string.no_bundle_message, packageName))
        } else {
            open(chosen.root)
        }
    }, screen::showError)

    private fun chooseBundle() = background.run(store::list, { bundles ->
        BundleDialog(this).show(bundles, ::openChosen) { pick("application/zip", REQUEST_BUNDLE) }
    }, screen::showError)

    // A broken one is opened as well: the error screen says all that is wrong with it.
    private fun openChosen(bundle: StoredBundle) = open(bundle.root)

    private fun importBundle(uri: Uri) = background.run({ store.import(uri) }, ::open, screen::showError)

    private fun open(root: File) {
        settings.bundle = root.name
        openRoot = root
        manifest = null
        liveScreen.stop()
        screen.showOpening(root)
        engine.nmsIou = if (settings.nms) Settings.NMS_IOU else null
        engine.open(root, settings.engine)
    }

    private fun bundleIsReady(opened: BundleManifest) {
        manifest = opened
        if (wantsLive) askForLive() else showSample()
    }

    // Live, gallery, sample

    private fun askForLive() {
        wantsLive = true
        if (checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED) {
            startLiveIfAllowed()
        } else {
            requestPermissions(arrayOf(Manifest.permission.CAMERA), REQUEST_CAMERA)
        }
    }

    private fun startLiveIfAllowed() {
        val allowed = checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED
        if (!allowed || !screen.isReady) return
        screen.showLive()
        liveScreen.start()
    }

    /** The bundle's own picture, the one its golden vectors are for. */
    private fun showSample() {
        val golden = manifest?.golden ?: return
        val file = File(openRoot ?: return, golden.image)
        showPicture { pictures.load(file) }
    }

    private fun showPicture(load: () -> LoadedPicture) {
        wantsLive = false
        liveScreen.stop()
        background.run(load, { picture -> if (!wantsLive) screen.showStill(picture, engine) }, screen::showError)
    }

    private fun pick(type: String, request: Int) {
        val intent = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType(type)
        try {
            @Suppress("DEPRECATION") // its replacement is AndroidX's, which this app does without
            startActivityForResult(intent, request)
        } catch (error: ActivityNotFoundException) {
            views.error.show(R.string.error_unexpected, getString(R.string.no_file_picker, error.message))
        }
    }

    // Options

    private fun chooseOptions() = OptionsDialog(this).show(settings.engine, settings.nms) { chosen, nms ->
        val sameGraphs = chosen == settings.engine && screen.isReady
        settings.engine = chosen
        settings.nms = nms
        engine.nmsIou = if (nms) Settings.NMS_IOU else null
        if (sameGraphs) engine.decodeAgain() else openRoot?.let { open(it) }
    }

    private fun useCpu() {
        settings.engine = settings.engine.copy(processor = Processor.CPU)
        openRoot?.let { open(it) }
    }

    private fun followThreshold() {
        engine.threshold = settings.threshold
        views.threshold.max = THRESHOLD_STEPS
        views.threshold.progress = Math.round(settings.threshold * THRESHOLD_STEPS)
        views.thresholdText.text = getString(R.string.threshold, settings.threshold)
        views.threshold.setOnSeekBarChangeListener(object : SeekBar.OnSeekBarChangeListener {
            override fun onProgressChanged(bar: SeekBar, progress: Int, fromUser: Boolean) {
                engine.threshold = progress.toFloat() / THRESHOLD_STEPS
                views.thresholdText.text = getString(R.string.threshold, engine.threshold)
                if (!screen.isLive) engine.decodeAgain()
            }

            override fun onStartTrackingTouch(bar: SeekBar) = Unit

            override fun onStopTrackingTouch(bar: SeekBar) {
                settings.threshold = engine.threshold
            }
        })
    }

    private companion object {
        const val REQUEST_CAMERA = 1
        const val REQUEST_PICTURE = 2
        const val REQUEST_BUNDLE = 3
        const val THRESHOLD_STEPS = 100
    }
}
