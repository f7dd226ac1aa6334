package org.detr2litert.detector

import android.content.Context
import android.net.Uri
import android.os.Process
import org.detr2litert.core.bundle.BundleFolder
import org.detr2litert.core.bundle.CarriedBundles
import org.detr2litert.core.bundle.StoredBundle
import java.io.File
import java.io.IOException
import java.io.InputStream

/**
 * The bundles in the app's own storage, `files/bundles/NAME/`. They come from a push over adb, from a .zip that the user
 * picks, or from the build's assets (`assets/bundles/NAME/`), which are copied out because LiteRT needs a file.
 *
 * Not for the main thread.
 */
class BundleStore(private val context: Context) {
    private val folder = BundleFolder(File(context.filesDir, FOLDER), Process.myPid().toString())

    private val assets = object : CarriedBundles {
        override fun names(): List<String> = context.assets.list(FOLDER).orEmpty().toList()

        override fun open(name: String, file: String): InputStream = context.assets.open("$FOLDER/$name/$file")
    }

    /** What is there, by name. */
    fun list(): List<StoredBundle> = folder.list(assets)

    /**
     * The folder of the bundle that the build carries as `assets/bundles/NAME`, copied out if it is not there yet.
     *
     * @throws org.detr2litert.core.BundleException if there is none, or it cannot be copied.
     */
    fun carried(name: String): File = folder.carried(name, assets)

    /** What changes when the bundle at [root] is replaced by another. */
    fun fingerprint(root: File): String? = folder.fingerprint(root)

    /**
     * Unpacks, checks and keeps the .zip of a bundle; one of the same variant and target is replaced.
     *
     * @throws org.detr2litert.core.BundleException if it is none.
     */
    fun import(uri: Uri): File {
        val source = context.contentResolver.openInputStream(uri) ?: throw IOException("nothing is there")
        return source.use { folder.import(it) }
    }

    private companion object {
        /** Under the app's files folder, and under its assets. */
        const val FOLDER = "bundles"
    }
}
