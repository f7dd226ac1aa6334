package org.detr2litert.core.bundle

import org.detr2litert.core.BundleException
import org.detr2litert.core.BundleException.Reason
import org.detr2litert.core.manifest.Manifest
import org.detr2litert.core.manifest.ManifestReader
import java.io.File
import java.io.IOException
import java.io.InputStream

/**
 * An installed bundle, as listed.
 *
 * @property manifest null if the bundle cannot be used; [problem] is then the reason in one line.
 * @property fingerprint the manifest's hash, which identifies the bundle, since the manifest lists every file's hash. Null
 *   without a manifest.
 */
class StoredBundle(val root: File, val manifest: Manifest?, val problem: String?, val fingerprint: String?)

/** The bundles packaged in the app, one folder each. */
interface PackagedBundles {
    fun names(): List<String>

    /** @throws IOException if the file is missing. */
    fun open(name: String, file: String): InputStream
}

/**
 * The bundles in the app's storage, one folder each: pushed over adb, imported from a .zip, or packaged in the app.
 *
 * Installation is atomic: a bundle is staged in a folder whose name starts with a dot, which is never listed, then renamed.
 * Not thread-safe; a push over adb may happen at any time.
 *
 * @param process distinguishes this process's staging folders from those that an earlier process left behind.
 */
class BundleFolder(private val root: File, process: String) {
    private val staging = "$STAGING$process-"

    /** Installs new or changed bundles of [packaged], then returns all bundles, sorted by name. */
    fun list(packaged: PackagedBundles): List<StoredBundle> {
        removeLeftovers()
        val failed = HashMap<String, String>()
        for (name in packaged.names().filterNot { it.startsWith('.') }) {
            try {
                install(name, packaged)
            } catch (error: BundleException) {
                failed[name] = error.message.orEmpty()
            } catch (error: IOException) {
                failed[name] = "it cannot be copied from the app (${error.message})"
            }
        }
        val there = root.listFiles { file -> file.isDirectory && !file.name.startsWith('.') }.orEmpty().map(::describe)
        val names = there.map { it.root.name }
        val lost = failed.filterKeys { it !in names }
            .map { (name, problem) -> StoredBundle(File(root, name), null, problem, null) }
        return (there + lost).sortedBy { it.root.name }
    }

    /**
     * The folder of the bundle packaged in the app as [name], installed first under the same condition as in [list].
     *
     * @throws BundleException if the app has no such bundle, or it cannot be copied.
     */
    fun packaged(name: String, from: PackagedBundles): File {
        removeLeftovers()
        try {
            install(name, from)
        } catch (error: IOException) {
            throw BundleException(Reason.MISSING, "no bundle '$name' is packaged in the app (${error.message})", error)
        }
        return File(root, name)
    }

    /** The hash of the manifest in [folder], or null if it is missing or cannot be read. */
    fun fingerprint(folder: File): String? = try {
        File(folder, Manifest.NAME).takeIf { it.isFile }?.let { Bundle.sha256(it) }
    } catch (_: IOException) {
        null
    }

    /**
     * Unpacks, checks and installs a bundle's .zip, replacing a bundle of the same variant and target.
     *
     * @throws BundleException if [source] is not a valid bundle.
     */
    fun import(source: InputStream): File = staged { place ->
        val zip = File(place, "bundle.zip")
        val unpacked = File(place, "bundle").apply { mkdirs() }
        zip.outputStream().use { source.copyTo(it) }
        BundleZip.unpack(zip, unpacked)
        val manifest = Bundle.open(unpacked).manifest
        keep(unpacked, place, folderName(manifest))
    }

    private fun describe(folder: File): StoredBundle = try {
        StoredBundle(folder, Bundle.peek(folder), null, fingerprint(folder))
    } catch (error: BundleException) {
        StoredBundle(folder, null, error.message, fingerprint(folder))
    }

    /**
     * Installs a packaged bundle unless this version of it was installed before. An app update with a changed bundle thus
     * replaces the older one, while a bundle pushed since then is preserved.
     */
    private fun install(name: String, packaged: PackagedBundles) {
        val text = packaged.open(name, Manifest.NAME).use { it.readBytes() }
        val hash = Bundle.sha256(text)
        val record = File(root, "$INSTALLED_ASSETS/$name")
        val target = File(root, name)
        if (target.isDirectory && record.isFile && record.readText() == hash) return
        if (fingerprint(target) != hash) copyOut(name, text, packaged)
        record.parentFile?.mkdirs()
        record.writeText(hash)
    }

    private fun copyOut(name: String, text: ByteArray, packaged: PackagedBundles) = staged { place ->
        val copy = File(place, "bundle").apply { mkdirs() }
        for (file in ManifestReader.read(text.toString(Charsets.UTF_8), "${Manifest.NAME} in $name").files.keys) {
            val to = BundlePath.resolve(copy, file)
            to.parentFile?.mkdirs()
            packaged.open(name, file).use { source -> to.outputStream().use { source.copyTo(it) } }
        }
        File(copy, Manifest.NAME).writeBytes(text)
        keep(copy, place, name)
    }

    private fun keep(from: File, place: File, name: String): File {
        val target = File(root, name)
        if (target.exists() && !target.renameTo(File(place, "replaced"))) throw IOException("cannot move the old $name")
        if (!from.renameTo(target)) throw IOException("cannot rename ${from.name} to $name")
        return target
    }

    private fun <T> staged(make: (File) -> T): T {
        val place = File(root, "$staging${System.nanoTime()}").apply { mkdirs() }
        try {
            return make(place)
        } catch (error: IOException) {
            throw BundleException(Reason.DAMAGED, "the bundle cannot be copied (${error.message}); free some space", error)
        } finally {
            place.deleteRecursively()
        }
    }

    /** Deletes staging folders of earlier processes. Those of an interrupted push remain: the next push resumes them. */
    private fun removeLeftovers() = root.listFiles { file ->
        file.name.startsWith(STAGING) && !file.name.startsWith(staging)
    }.orEmpty().forEach { it.deleteRecursively() }

    companion object {
        private const val STAGING = ".staging-app-"
        private const val INSTALLED_ASSETS = ".carried"

        /** The same name that `convert push` uses. */
        internal fun folderName(manifest: Manifest): String =
            "${manifest.variant}-${manifest.target}".replace(Regex("[^A-Za-z0-9_-]"), "_")
    }
}
