package org.detr2litert.detector

import android.content.Context
import android.net.Uri
import android.os.Process
import org.detr2litert.core.bundle.BundleFolder
import org.detr2litert.core.bundle.PackagedBundles
import org.detr2litert.core.bundle.StoredBundle
import java.io.File
import java.io.IOException
import java.io.InputStream

/**
 * The bundles in the app's storage, `files/bundles/NAME/`: pushed over adb, imported from a .zip, or packaged as assets
 * (`assets/bundles/NAME/`), which are copied to files because LiteRT needs a path.
 *
 * Not for the main thread. Not thread-safe.
 */
class BundleStore(private val context: Context) {
    private val folder = BundleFolder(File(context.filesDir, FOLDER), Process.myPid().toString())

    private val assets = object : PackagedBundles {
        override fun names(): List<String> = context.assets.list(FOLDER).orEmpty().toList()

        override fun open(name: String, file: String): InputStream = context.assets.open("$FOLDER/$name/$file")
    }

    /** All bundles, sorted by name, after installing those from the assets. */
    fun list(): List<StoredBundle> = folder.list(assets)

    /**
     * The folder of the bundle packaged as `assets/bundles/NAME`, installed first if it is new.
     *
     * @throws org.detr2litert.core.BundleException if there is no such asset, or it cannot be copied.
     */
    fun packaged(name: String): File = folder.packaged(name, assets)

    /** The hash of the manifest in [root], which identifies the bundle; null if it cannot be read. */
    fun fingerprint(root: File): String? = folder.fingerprint(root)

    /**
     * Unpacks, checks and installs a bundle's .zip, replacing a bundle of the same variant and target.
     *
     * @throws org.detr2litert.core.BundleException if it is not a valid bundle.
     */
    fun import(uri: Uri): File {
        val source = context.contentResolver.openInputStream(uri) ?: throw IOException("the file is missing")
        return source.use { folder.import(it) }
    }

    private companion object {
        /** Name of the folder, in the app's files and in its assets. */
        const val FOLDER = "bundles"
    }
}
