package org.detr2litert.core.bundle

import org.detr2litert.core.BundleException
import org.detr2litert.core.BundleException.Reason
import org.detr2litert.core.manifest.Manifest
import org.detr2litert.core.manifest.ManifestReader
import java.io.File
import java.io.IOException
import java.io.InputStream

/**
 * A bundle in the list.
 *
 * @property manifest null if it cannot be used; then [problem] is one line that says why.
 * @property fingerprint of the manifest, which lists every file's hash: another one is another bundle. Null without a manifest.
 */
class StoredBundle(val root: File, val manifest: Manifest?, val problem: String?, val fingerprint: String?)

/** The bundles that the build carries, a folder each. */
interface CarriedBundles {
    fun names(): List<String>

    /** @throws IOException if there is no such file. */
    fun open(name: String, file: String): InputStream
}

/**
 * The bundles in the app's own storage, a folder each. They come from a push over adb, from a .zip, or with the build.
 *
 * A bundle appears whole or not at all: it is made in a folder whose name begins with a dot, which is no bundle, and renamed.
 * One thread at a time; a push may come at any moment.
 *
 * @param process tells this process's unfinished folders from those that an earlier one left behind.
 */
class BundleFolder(private val root: File, process: String) {
    private val staging = "$STAGING$process-"

    /** What is there, by name, after putting in place what [carried] has new. */
    fun list(carried: CarriedBundles): List<StoredBundle> {
        removeLeftovers()
        val failed = HashMap<String, String>()
        for (name in carried.names().filterNot { it.startsWith('.') }) {
            try {
                install(name, carried)
            } catch (error: BundleException) {
                failed[name] = error.message.orEmpty()
            } catch (error: IOException) {
                failed[name] = "it cannot be copied out of the app (${error.message})"
            }
        }
        val there = root.listFiles { file -> file.isDirectory && !file.name.startsWith('.') }.orEmpty().map(::describe)
        val names = there.map { it.root.name }
        val lost = failed.filterKeys { it !in names }
            .map { (name, problem) -> StoredBundle(File(root, name), null, problem, null) }
        return (there + lost).sortedBy { it.root.name }
    }

    /**
     * The folder of the bundle that the build carries as [name], copied out first where [list] would do so.
     *
     * @throws BundleException if the build carries none, or it cannot be copied.
     */
    fun carried(name: String, from: CarriedBundles): File {
        removeLeftovers()
        try {
            install(name, from)
        } catch (error: IOException) {
            throw BundleException(Reason.MISSING, "the app carries no bundle '$name' (${error.message})", error)
        }
        return File(root, name)
    }

    /** The manifest's hash of the bundle in [folder], or null if there is none. */
    fun fingerprint(folder: File): String? = try {
        File(folder, Manifest.NAME).takeIf { it.isFile }?.let { Bundle.sha256(it) }
    } catch (_: IOException) {
        null
    }

    /**
     * Unpacks, checks and keeps the .zip of a bundle; one of the same variant and target is replaced.
     *
     * @throws BundleException if it is none.
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
     * Copies a carried bundle out if it is another than the one that was copied out last. So a build with a changed bundle
     * replaces what an older build put there, but a bundle pushed since then stays.
     */
    private fun install(name: String, carried: CarriedBundles) {
        val text = carried.open(name, Manifest.NAME).use { it.readBytes() }
        val hash = Bundle.sha256(text)
        val record = File(root, "$CARRIED/$name")
        val target = File(root, name)
        if (target.isDirectory && record.isFile && record.readText() == hash) return
        if (fingerprint(target) != hash) copyOut(name, text, carried)
        record.parentFile?.mkdirs()
        record.writeText(hash)
    }

    private fun copyOut(name: String, text: ByteArray, carried: CarriedBundles) = staged { place ->
        val copy = File(place, "bundle").apply { mkdirs() }
        for (file in ManifestReader.read(text.toString(Charsets.UTF_8), "${Manifest.NAME} in $name").files.keys) {
            val to = BundlePath.resolve(copy, file)
            to.parentFile?.mkdirs()
            carried.open(name, file).use { source -> to.outputStream().use { source.copyTo(it) } }
        }
        File(copy, Manifest.NAME).writeBytes(text)
        keep(copy, place, name)
    }

    private fun keep(from: File, place: File, name: String): File {
        val target = File(root, name)
        if (target.exists() && !target.renameTo(File(place, "replaced"))) throw IOException("cannot move the old $name away")
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

    /** A push that was cut off is left alone: it goes on from there. */
    private fun removeLeftovers() = root.listFiles { file ->
        file.name.startsWith(STAGING) && !file.name.startsWith(staging)
    }.orEmpty().forEach { it.deleteRecursively() }

    companion object {
        private const val STAGING = ".staging-app-"
        private const val CARRIED = ".carried"

        /** As `convert push` names it. */
        internal fun folderName(manifest: Manifest): String =
            "${manifest.variant}-${manifest.target}".replace(Regex("[^A-Za-z0-9_-]"), "_")
    }
}
