package org.detr2litert.sample.bundles

import android.content.Context
import android.net.Uri
import org.detr2litert.core.BundleException
import org.detr2litert.core.BundleException.Reason
import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.bundle.BundleZip
import org.detr2litert.core.manifest.Manifest
import java.io.File
import java.io.IOException

/** A bundle in the list: its folder, and its manifest or what is wrong with it. */
class StoredBundle(val root: File, val manifest: Manifest?, val problem: String?)

/**
 * The bundles in this app's own storage, `files/bundles/NAME/`. They come from a push over adb, from a .zip that the user
 * picks, or from the build's assets (`assets/bundles/NAME/`), which are copied out because LiteRT wants a file.
 *
 * A bundle appears whole or not at all: it is made in a folder beside, and renamed. Not for the main thread.
 */
class BundleStore(private val context: Context) {
    private val root = File(context.filesDir, FOLDER)

    /** What is there, by name. */
    fun list(): List<StoredBundle> {
        installAssets()
        val folders = root.listFiles { file ->
            file.isDirectory && !file.name.startsWith(STAGING)
        }.orEmpty().sortedBy { it.name }
        return folders.map { folder ->
            try {
                StoredBundle(folder, Bundle.peek(folder), null)
            } catch (error: BundleException) {
                StoredBundle(folder, null, error.message)
            }
        }
    }

    /**
     * Unpacks, checks and keeps the .zip of a bundle; one of the same variant and target is replaced.
     *
     * @throws BundleException if it is none.
     */
    fun import(uri: Uri): File = staged { staging ->
        val zip = File(staging, "bundle.zip")
        val unpacked = File(staging, "bundle").apply { mkdirs() }
        val source = context.contentResolver.openInputStream(uri) ?: throw IOException("nothing is there")
        source.use { stream -> zip.outputStream().use { stream.copyTo(it) } }
        BundleZip.unpack(zip, unpacked)
        val manifest = Bundle.open(unpacked).manifest
        keep(unpacked, fileName("${manifest.variant}-${manifest.target}"))
    }

    /** Removes a bundle. */
    fun delete(folder: File) {
        require(folder.parentFile == root) { "$folder is no bundle of this app" }
        folder.deleteRecursively()
    }

    private fun installAssets() {
        for (name in context.assets.list(FOLDER).orEmpty()) {
            val manifest = "$FOLDER/$name/${Manifest.NAME}"
            val installed = File(root, "$name/${Manifest.NAME}")
            val bytes = context.assets.open(manifest).use { it.readBytes() }
            if (installed.isFile && installed.readBytes().contentEquals(bytes)) continue
            staged { staging ->
                copyAssets("$FOLDER/$name", File(staging, name))
                keep(File(staging, name), name)
            }
        }
    }

    private fun copyAssets(path: String, to: File) {
        val children = context.assets.list(path).orEmpty()
        if (children.isEmpty()) {
            context.assets.open(path).use { source -> to.outputStream().use { source.copyTo(it) } }
        } else {
            to.mkdirs()
            for (child in children) copyAssets("$path/$child", File(to, child))
        }
    }

    private fun keep(from: File, name: String): File {
        val target = File(root, name)
        target.deleteRecursively()
        if (!from.renameTo(target)) throw IOException("cannot rename ${from.name} to $name")
        return target
    }

    private fun <T> staged(make: (File) -> T): T {
        val staging = File(root, "$STAGING${System.nanoTime()}").apply { mkdirs() }
        try {
            return make(staging)
        } catch (error: IOException) {
            throw BundleException(Reason.DAMAGED, "the bundle cannot be copied (${error.message}); free some space", error)
        } finally {
            staging.deleteRecursively()
        }
    }

    private fun fileName(text: String): String = text.map {
        if (it.isLetterOrDigit() ||
            it in "-_"
        ) {
            it
        } else {
            '_'
        }
    }.joinToString("")

    companion object {
        /** Under the app's files folder, and under its assets. */
        const val FOLDER = "bundles"
        private const val STAGING = ".staging-"
    }
}
