package org.detr2litert.core.bundle

import org.detr2litert.core.BundleException
import org.detr2litert.core.BundleException.Reason
import org.detr2litert.core.manifest.Manifest
import org.detr2litert.core.manifest.ManifestReader
import java.io.File
import java.io.IOException
import java.util.zip.ZipEntry
import java.util.zip.ZipException
import java.util.zip.ZipFile

/** Unpacks a bundle's .zip: only the manifest and the files it lists, each limited to the listed size. */
object BundleZip {
    /**
     * @param zip has the bundle's files at the top level or in one folder.
     * @param into an empty folder.
     * @return the manifest; hashes are not checked here but by [Bundle.open].
     * @throws BundleException if it is not a bundle's .zip, or lists paths outside it.
     */
    fun unpack(zip: File, into: File): Manifest = try {
        ZipFile(zip).use { archive -> unpack(archive, into) }
    } catch (error: ZipException) {
        throw BundleException(
            Reason.DAMAGED,
            "${zip.name} is not a readable .zip (${error.message}); copy it again",
            error,
        )
    } catch (error: IOException) {
        throw BundleException(Reason.DAMAGED, "${zip.name} cannot be unpacked (${error.message}); free some space", error)
    }

    private fun unpack(archive: ZipFile, into: File): Manifest {
        val entries = archive.entries().asSequence().filter { !it.isDirectory }.associateBy { it.name }
        entries.keys.forEach { BundlePath.resolve(into, it) }
        val tops = entries.keys.filter { it.substringAfterLast('/') == Manifest.NAME && it.count { char -> char == '/' } <= 1 }
        val top = tops.singleOrNull() ?: throw BundleException(
            Reason.MISSING,
            "the .zip has ${tops.size} ${Manifest.NAME} at the top level, not 1; give the .zip that `convert run --zip` wrote",
        )
        val target = File(into, Manifest.NAME)
        copy(archive, entries.getValue(top), target, Bundle.MANIFEST_LIMIT)
        val manifest = ManifestReader.read(target.readText(), Manifest.NAME)
        val prefix = top.removeSuffix(Manifest.NAME)
        for ((name, record) in manifest.files) {
            val entry = entries[prefix + name]
                ?: throw BundleException(Reason.MISSING, "$name is missing from the .zip; copy it again")
            copy(archive, entry, BundlePath.resolve(into, name), record.bytes)
        }
        return manifest
    }

    private fun copy(archive: ZipFile, entry: ZipEntry, target: File, limit: Long) {
        target.parentFile?.mkdirs()
        val chunk = ByteArray(1 shl 16)
        var total = 0L
        archive.getInputStream(entry).use { source ->
            target.outputStream().use { sink ->
                while (true) {
                    val read = source.read(chunk)
                    if (read < 0) break
                    total += read
                    // The sizes stated in the .zip are not trusted: this stops a zip bomb.
                    if (total > limit) {
                        throw BundleException(Reason.DAMAGED, "${entry.name} is longer than the manifest allows; copy it again")
                    }
                    sink.write(chunk, 0, read)
                }
            }
        }
    }
}
