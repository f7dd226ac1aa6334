package org.detr2litert.sample

import android.Manifest
import android.app.Activity
import android.app.AlertDialog
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
import org.detr2litert.core.engine.EngineOptions
import org.detr2litert.core.engine.Processor
import org.detr2litert.core.pipeline.SourceNumber
import org.detr2litert.detector.BundleStore
import org.detr2litert.detector.engine.DetectorEngine
import org.detr2litert.sample.pictures.LoadedPicture
import org.detr2litert.sample.pictures.PictureException
import org.detr2litert.sample.pictures.PictureLoader
import org.detr2litert.sample.ui.Background
import org.detr2litert.sample.ui.BundleDialog
import org.detr2litert.sample.ui.DetectorScreen
import org.detr2litert.sample.ui.ErrorPanel
import org.detr2litert.sample.ui.LiveScreen
import org.detr2litert.sample.ui.MainViews
import org.detr2litert.sample.ui.OptionsDialog
import org.detr2litert.sample.ui.Settings
import org.detr2litert.sample.ui.Subject
import java.io.File
import android.provider.Settings as SystemSettings
import org.detr2litert.core.manifest.Manifest as BundleManifest

/** Ties the parts together: what the user asks for goes to the engine, what the system asks for to the screens. */
class MainActivity : Activity() {
    private lateinit var views: MainViews
    private lateinit var settings: Settings
    private lateinit var engine: DetectorEngine
    private lateinit var screen: DetectorScreen
    private lateinit var liveScreen: LiveScreen
    private lateinit var store: BundleStore
    private val sources = SourceNumber()
    private val background = Background()
    private val pictures by lazy { PictureLoader(contentResolver) }
    private var subject: Subject = Subject.Live
    private var dialog: AlertDialog? = null

    // The bundle that was opened last, well or not.
    private var openRoot: File? = null
    private var openFingerprint: String? = null
    private var manifest: BundleManifest? = null

    private var inFront = false
    private var isAsking = false
    private var openings = 0

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.activity_main)
        subject = Subject.read(savedInstanceState?.getString(STATE_SUBJECT))
        isAsking = savedInstanceState?.getBoolean(STATE_ASKING) ?: false
        views = MainViews(this)
        settings = Settings(getPreferences(MODE_PRIVATE))
        store = BundleStore(applicationContext)
        screen = DetectorScreen(views, sources, ::useCpu)
        engine = DetectorEngine(this, sources, screen)
        screen.whenReady = { bundle -> bundleIsReady(bundle.manifest, bundle.manifestSha256) }
        screen.whenFailed = ::bundleHasFailed
        liveScreen = LiveScreen(
            views.preview,
            views.overlay,
            engine,
            sources,
            getSystemService(Context.CAMERA_SERVICE) as CameraManager,
            getSystemService(Context.DISPLAY_SERVICE) as DisplayManager,
        ) { reason -> screen.showError(R.string.error_camera, reason) }
        views.live.setOnClickListener { choose(Subject.Live) }
        views.gallery.setOnClickListener { pick("image/*", REQUEST_PICTURE) }
        views.sample.setOnClickListener { choose(Subject.Sample) }
        views.bundle.setOnClickListener { chooseBundle() }
        views.options.setOnClickListener { chooseOptions() }
        followThreshold()
    }

    override fun onResume() {
        super.onResume()
        inFront = true
        if (subject == Subject.Live && screen.isReady) show()
        lookForBundles()
    }

    override fun onPause() {
        inFront = false
        liveScreen.stop()
        settings.threshold = engine.threshold
        super.onPause()
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        outState.putString(STATE_SUBJECT, subject.write())
        outState.putBoolean(STATE_ASKING, isAsking)
    }

    override fun onDestroy() {
        dialog?.dismiss()
        background.close()
        engine.close()
        super.onDestroy()
    }

    override fun onRequestPermissionsResult(requestCode: Int, permissions: Array<String>, grantResults: IntArray) {
        if (requestCode != REQUEST_CAMERA) return
        isAsking = false
        // If it was allowed, onResume comes next and starts the camera.
        if (!mayUseCamera()) cameraWasDenied()
    }

    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        super.onActivityResult(requestCode, resultCode, data)
        val uri = data?.data
        if (resultCode != RESULT_OK || uri == null) return
        when (requestCode) {
            REQUEST_PICTURE -> choose(Subject.Chosen(uri))
            REQUEST_BUNDLE -> importBundle(uri)
        }
    }

    // Bundles

    /** Bundles may have been pushed while this was not in front; the first one is opened, and a changed one again. */
    private fun lookForBundles() {
        if (screen.isOpening) return
        if (openRoot == null) screen.showLooking()
        background.run(store::list, ::follow, ::showError)
    }

    private fun follow(bundles: List<StoredBundle>) {
        val root = openRoot ?: return openFirst(bundles)
        val before = openFingerprint
        val now = bundles.firstOrNull { it.root == root }?.fingerprint
        if (!screen.isOpening && before != null && now != null && now != before) open(root)
    }

    private fun openFirst(bundles: List<StoredBundle>) {
        val sound = bundles.filter { it.manifest != null }
        val chosen = sound.firstOrNull { it.root.name == settings.bundle } ?: sound.firstOrNull()
        when {
            chosen != null -> open(chosen.root)

            bundles.isEmpty() -> screen.showError(R.string.no_bundle_title, getString(R.string.no_bundle_message, packageName))

            else -> screen.showError(
                R.string.no_sound_bundle_title,
                bundles.joinToString("\n\n") { getString(R.string.bundle_broken, it.root.name, it.problem) },
            )
        }
    }

    private fun chooseBundle() = background.run(store::list, { bundles ->
        ask { BundleDialog(this).show(bundles, ::openChosen) { pick("application/zip", REQUEST_BUNDLE) } }
    }, ::showError)

    // A broken one is opened as well: the error screen says what is wrong with it.
    private fun openChosen(bundle: StoredBundle) = open(bundle.root)

    private fun importBundle(uri: Uri) {
        liveScreen.stop()
        screen.showLooking()
        background.run({ store.import(uri) }, ::open, ::showError)
    }

    private fun open(root: File) {
        settings.bundle = root.name
        openRoot = root
        openFingerprint = null
        manifest = null
        liveScreen.stop()
        screen.showOpening(root, settings.engine)
        engine.nmsIou = if (settings.nms) Settings.NMS_IOU else null
        engine.open(root, settings.engine, ++openings)
    }

    private fun bundleIsReady(opened: BundleManifest, fingerprint: String) {
        manifest = opened
        openFingerprint = fingerprint
        show()
    }

    /** Nothing is tried again by itself until the bundle is another one. */
    private fun bundleHasFailed() {
        liveScreen.stop()
        val root = openRoot ?: return
        background.run({ store.fingerprint(root) }, { if (root == openRoot) openFingerprint = it }, ::showError)
    }

    // Live, gallery, sample

    private fun choose(chosen: Subject) {
        subject = chosen
        show()
    }

    /** Shows what the user chose last; where no bundle is open, opening one comes first. */
    private fun show() {
        val root = openRoot
        when {
            screen.isOpening -> Unit

            screen.isReady -> when (val wanted = subject) {
                Subject.Live -> showLive()
                Subject.Sample -> showSample()
                is Subject.Chosen -> showPicture { pictures.load(wanted.uri) }
            }

            root == null -> lookForBundles()

            else -> open(root)
        }
    }

    private fun showLive() {
        when {
            // Opened while another app was in front: onResume comes back to it.
            !inFront -> Unit

            mayUseCamera() -> {
                screen.showLive()
                liveScreen.start()
            }

            !isAsking -> {
                isAsking = true
                requestPermissions(arrayOf(Manifest.permission.CAMERA), REQUEST_CAMERA)
            }
        }
    }

    private fun mayUseCamera() = checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED

    /** After a second refusal Android asks no more, and only the system's settings can allow it. */
    private fun cameraWasDenied() {
        subject = Subject.Sample
        if (shouldShowRequestPermissionRationale(Manifest.permission.CAMERA)) {
            screen.showError(R.string.error_camera, getString(R.string.camera_denied))
        } else {
            screen.showError(
                R.string.error_camera,
                getString(R.string.camera_denied_for_good),
                ErrorPanel.Remedy(R.string.system_settings, ::openSystemSettings),
            )
        }
    }

    private fun openSystemSettings() = startActivity(
        Intent(SystemSettings.ACTION_APPLICATION_DETAILS_SETTINGS, Uri.fromParts("package", packageName, null)),
    )

    /** The bundle's own picture, the one its golden vectors are for. */
    private fun showSample() {
        val root = openRoot ?: return
        val golden = manifest?.golden
        if (golden == null) {
            showError(PictureException(getString(R.string.no_sample, root.name)))
        } else {
            showPicture { pictures.load(File(root, golden.image)) }
        }
    }

    private fun showPicture(load: () -> LoadedPicture) {
        liveScreen.stop()
        val source = screen.showLoading()
        background.run(
            load,
            { picture -> if (sources.isCurrent(source)) screen.showStill(picture, source, engine) },
            { error -> if (sources.isCurrent(source)) screen.showError(error) },
        )
    }

    private fun showError(error: Exception) {
        liveScreen.stop()
        screen.showError(error)
    }

    private fun pick(type: String, request: Int) {
        val intent = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType(type)
        try {
            @Suppress("DEPRECATION") // its replacement is AndroidX's, which this app does without
            startActivityForResult(intent, request)
        } catch (error: ActivityNotFoundException) {
            liveScreen.stop()
            screen.showError(R.string.error_unexpected, getString(R.string.no_file_picker, error.message))
        }
    }

    // Options

    private fun chooseOptions() = ask { OptionsDialog(this).show(settings.engine, settings.nms, ::optionsAreChosen) }

    private fun optionsAreChosen(chosen: EngineOptions, nms: Boolean) {
        val sameGraphs = chosen == settings.engine && screen.isReady
        settings.engine = chosen
        settings.nms = nms
        engine.nmsIou = if (nms) Settings.NMS_IOU else null
        if (sameGraphs) engine.decodeAgain() else openRoot?.let { open(it) }
    }

    /** One dialog at a time, and none over a screen that is going away. */
    private fun ask(make: () -> AlertDialog) {
        if (dialog?.isShowing != true && !isFinishing) dialog = make()
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

            override fun onStopTrackingTouch(bar: SeekBar) = Unit
        })
    }

    private companion object {
        const val REQUEST_CAMERA = 1
        const val REQUEST_PICTURE = 2
        const val REQUEST_BUNDLE = 3
        const val THRESHOLD_STEPS = 100
        const val STATE_SUBJECT = "subject"
        const val STATE_ASKING = "asking"
    }
}
