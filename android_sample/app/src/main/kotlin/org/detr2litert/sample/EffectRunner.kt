package org.detr2litert.sample

import android.Manifest
import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.Intent
import android.net.Uri
import android.provider.Settings
import org.detr2litert.core.pipeline.SourceNumber
import org.detr2litert.core.screen.PictureSource
import org.detr2litert.core.screen.ScreenEffect
import org.detr2litert.core.screen.ScreenEvent
import org.detr2litert.detector.BundleStore
import org.detr2litert.detector.engine.DetectorEngine
import org.detr2litert.sample.pictures.LoadedPicture
import org.detr2litert.sample.pictures.PictureLoader
import org.detr2litert.sample.ui.Background
import org.detr2litert.sample.ui.SettingsStore

/** Performs effects; their results are dispatched as events. Main thread only. */
class EffectRunner(
    private val activity: Activity,
    private val engine: DetectorEngine,
    private val sources: SourceNumber,
    private val settings: SettingsStore,
    private val dispatch: (ScreenEvent) -> Unit,
) : AutoCloseable {
    private val background = Background()
    private val bundles = BundleStore(activity.applicationContext)
    private val pictures = PictureLoader(activity.contentResolver)

    fun run(effect: ScreenEffect) {
        when (effect) {
            is ScreenEffect.ListBundles -> background.run(
                bundles::list,
                { dispatch(ScreenEvent.BundlesListed(effect.number, it)) },
                { dispatch(ScreenEvent.ListingFailed(effect.number, it)) },
            )

            is ScreenEffect.OpenBundle -> engine.open(effect.root, effect.options, effect.number)

            is ScreenEffect.ReadFingerprint -> background.run(
                { bundles.fingerprint(effect.root) },
                { dispatch(ScreenEvent.FingerprintRead(effect.number, it)) },
                { dispatch(ScreenEvent.FingerprintRead(effect.number, null)) },
            )

            is ScreenEffect.ImportBundle -> background.run(
                { bundles.import(Uri.parse(effect.uri)) },
                { dispatch(ScreenEvent.Imported(effect.number, it)) },
                { dispatch(ScreenEvent.ImportFailed(effect.number, it)) },
            )

            is ScreenEffect.LoadPicture -> background.run(
                { load(effect.source) },
                { dispatch(ScreenEvent.PictureLoaded(effect.number, it)) },
                { dispatch(ScreenEvent.PictureFailed(effect.number, it)) },
            )

            is ScreenEffect.Detect -> engine.detect(effect.picture.pixels, sources.current)

            ScreenEffect.DecodeAgain -> engine.decodeAgain()

            ScreenEffect.AskForCamera -> activity.requestPermissions(arrayOf(Manifest.permission.CAMERA), REQUEST_CAMERA)

            ScreenEffect.PickPicture -> pick("image/*", REQUEST_PICTURE)

            ScreenEffect.PickBundle -> pick("application/zip", REQUEST_BUNDLE)

            ScreenEffect.OpenSystemSettings -> activity.startActivity(
                Intent(Settings.ACTION_APPLICATION_DETAILS_SETTINGS, Uri.fromParts("package", activity.packageName, null)),
            )

            is ScreenEffect.Save -> settings.save(effect.settings)
        }
    }

    /** Discards the results of running work. */
    override fun close() = background.close()

    private fun load(source: PictureSource): LoadedPicture = when (source) {
        is PictureSource.Picked -> pictures.load(Uri.parse(source.uri))
        is PictureSource.OfBundle -> pictures.load(source.file)
    }

    private fun pick(type: String, request: Int) {
        val intent = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType(type)
        try {
            @Suppress("DEPRECATION") // its replacement is in AndroidX, which this app does not use
            activity.startActivityForResult(intent, request)
        } catch (error: ActivityNotFoundException) {
            dispatch(ScreenEvent.NoFilePicker(error.message))
        }
    }

    companion object {
        // Request codes of the activity's results.
        const val REQUEST_CAMERA = 1
        const val REQUEST_PICTURE = 2
        const val REQUEST_BUNDLE = 3
    }
}
