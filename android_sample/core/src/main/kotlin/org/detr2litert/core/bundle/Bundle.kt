package org.detr2litert.core.bundle

import org.detr2litert.core.BundleException
import org.detr2litert.core.BundleException.Companion.REMAKE
import org.detr2litert.core.BundleException.Reason
import org.detr2litert.core.json.ForeignJson
import org.detr2litert.core.manifest.FileRecord
import org.detr2litert.core.manifest.Manifest
import org.detr2litert.core.manifest.ManifestReader
import org.detr2litert.core.tensor.Safetensors
import org.detr2litert.core.tensor.Tensor
import java.io.File
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException
import java.security.MessageDigest

/** A bundle on disk; every file matched the size and sha256 in its manifest when it was opened. */
class Bundle private constructor(val root: File, val manifest: Manifest, val manifestSha256: String) {
    /** The file that the manifest lists as [name]. */
    fun file(name: String): File = BundlePath.resolve(root, name)

    /** The host step's constants by name. */
    fun hostConstants(): Map<String, Tensor> {
        val specs = manifest.hostStep.constants
        return if (specs.isEmpty()) emptyMap() else Safetensors.read(file(Manifest.HOST_PARAMS), specs)
    }

    companion object {
        /** A manifest is some tens of kilobytes; a larger one is refused before it is read. */
        const val MANIFEST_LIMIT = ForeignJson.MAX_SIZE.toLong()

        /**
         * Reads only the manifest, for a list of bundles; the files are not checked.
         *
         * @throws BundleException if the manifest is missing or invalid.
         */
        fun peek(root: File): Manifest = ManifestReader.read(manifestText(root).first, "${Manifest.NAME} in ${root.name}")

        /**
         * Opens the bundle in the folder [root] and checks every file.
         *
         * @throws BundleException for the first fault found.
         */
        fun open(root: File): Bundle {
            val (text, hash) = manifestText(root)
            val manifest = ManifestReader.read(text, "${Manifest.NAME} in ${root.name}")
            for ((name, record) in manifest.files) check(root, name, record)
            return Bundle(root, manifest, hash)
        }

        /** The sha256 of a file's content, in lower-case hex. */
        fun sha256(file: File): String {
            val digest = MessageDigest.getInstance("SHA-256")
            val chunk = ByteArray(1 shl 16)
            file.inputStream().use { stream ->
                while (true) {
                    val read = stream.read(chunk)
                    if (read < 0) break
                    digest.update(chunk, 0, read)
                }
            }
            return hex(digest.digest())
        }

        /** The sha256 of [bytes], in lower-case hex. */
        fun sha256(bytes: ByteArray): String = hex(MessageDigest.getInstance("SHA-256").digest(bytes))

        private fun manifestText(root: File): Pair<String, String> {
            val file = File(root, Manifest.NAME)
            if (!file.isFile || BundlePath.passesLink(root, file)) {
                val problem = "${root.name} has no ${Manifest.NAME}; give the folder that `convert run` wrote"
                throw BundleException(Reason.MISSING, problem)
            }
            if (file.length() > MANIFEST_LIMIT) {
                throw BundleException.manifest("${Manifest.NAME} in ${root.name} is larger than $MANIFEST_LIMIT bytes")
            }
            val bytes = try {
                file.readBytes()
            } catch (error: IOException) {
                // For example while adb replaces it.
                val problem = "${Manifest.NAME} in ${root.name} cannot be read (${error.message}); try again"
                throw BundleException(Reason.DAMAGED, problem, error)
            }
            val text = try {
                Charsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString()
            } catch (error: CharacterCodingException) {
                throw BundleException.manifest("${Manifest.NAME} in ${root.name} is not UTF-8 text", error)
            }
            return text to sha256(bytes)
        }

        private fun check(root: File, name: String, record: FileRecord) {
            val file = BundlePath.resolve(root, name)
            val where = "$name in ${root.name}"
            if (BundlePath.passesLink(root, file)) {
                throw BundleException(
                    Reason.UNSAFE,
                    "$where is a link, which a bundle must not contain; copy the file itself, or $REMAKE",
                )
            }
            if (!file.isFile) throw BundleException(Reason.MISSING, "$name is missing from ${root.name}; copy the bundle again")
            val length = file.length()
            if (length != record.bytes) {
                val state = if (length < record.bytes) "cut short" else "too long"
                throw BundleException(
                    Reason.DAMAGED,
                    "$where is $state ($length bytes, not ${record.bytes}); copy the whole bundle again",
                )
            }
            val found = try {
                sha256(file)
            } catch (error: IOException) {
                throw BundleException(Reason.DAMAGED, "$where cannot be read (${error.message}); copy it again", error)
            }
            if (found != record.sha256) {
                throw BundleException(
                    Reason.DAMAGED,
                    "$where is damaged or changed (its sha256 is not the manifest's); copy it again, or $REMAKE",
                )
            }
        }

        private fun hex(bytes: ByteArray): String = bytes.joinToString("") { "%02x".format(it) }
    }
}
