package org.detr2litert.core

import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.bundle.BundleFolder
import org.detr2litert.core.bundle.PackagedBundles
import org.detr2litert.core.bundle.StoredBundle
import org.junit.Rule
import org.junit.rules.TemporaryFolder
import java.io.ByteArrayOutputStream
import java.io.File
import java.io.FileNotFoundException
import java.io.InputStream
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNotEquals
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue

class BundleFolderTest {
    @get:Rule
    val temporary = TemporaryFolder()

    private val root by lazy { temporary.newFolder("bundles") }
    private val bundles by lazy { BundleFolder(root, "4711") }
    private val source get() = File(Goldens.root, "bundles/hand_made")

    /** The app's assets, in a folder. */
    private class Packaged(val folder: File) : PackagedBundles {
        override fun names(): List<String> = folder.list().orEmpty().toList()

        override fun open(name: String, file: String): InputStream =
            File(folder, "$name/$file").also { if (!it.isFile) throw FileNotFoundException("$name/$file") }.inputStream()
    }

    private val packaged by lazy { Packaged(temporary.newFolder("assets")) }

    private fun list(): List<StoredBundle> = bundles.list(packaged)

    private fun names(): List<String> = list().map { it.root.name }

    /** Changes the manifest, and so the bundle's identity; it remains valid. */
    private fun change(folder: File) = File(folder, "manifest.json").appendText("\n")

    @Test
    fun aPushedBundleAppearsAndFoldersWithADotDoNot() {
        assertEquals(emptyList(), names())
        source.copyRecursively(File(root, "pushed"))
        source.copyRecursively(File(root, ".staging-push-other"))
        assertEquals(listOf("pushed"), names())
        assertNotNull(list().single().manifest)
        assertTrue(File(root, ".staging-push-other/manifest.json").isFile, "an interrupted push resumes from it")
    }

    @Test
    fun aBrokenBundleIsListedWithItsProblem() {
        File(root, "empty").mkdirs()
        source.copyRecursively(File(root, "sound"))
        val (empty, sound) = list()
        assertTrue(empty.manifest == null && "manifest.json" in empty.problem!! && empty.fingerprint == null)
        assertTrue(sound.manifest != null && sound.problem == null)
    }

    @Test
    fun aReplacedBundleHasAnotherFingerprint() {
        source.copyRecursively(File(root, "pushed"))
        val before = list().single().fingerprint
        assertEquals(Bundle.open(File(root, "pushed")).manifestSha256, before)
        change(File(root, "pushed"))
        assertNotEquals(before, list().single().fingerprint)
    }

    @Test
    fun aPackagedBundleIsInstalledAndAChangedOneReplacesIt() {
        val asset = File(packaged.folder, "carried").also { source.copyRecursively(it) }
        assertEquals(listOf("carried"), names())
        val first = Bundle.open(File(root, "carried")).manifestSha256
        change(asset)
        assertEquals(listOf("carried"), names())
        assertNotEquals(first, Bundle.open(File(root, "carried")).manifestSha256)
        assertEquals(setOf("carried", ".carried"), root.list()?.toSet(), "no staging folder is left")
    }

    @Test
    fun aBundlePushedOverAPackagedOneIsPreserved() {
        source.copyRecursively(File(packaged.folder, "same"))
        list()
        change(File(root, "same"))
        val pushed = list().single().fingerprint
        assertEquals(pushed, list().single().fingerprint)
        assertEquals(pushed, bundles.fingerprint(File(root, "same")))
        File(root, "same").deleteRecursively()
        assertNotEquals(pushed, list().single().fingerprint, "the packaged one is installed again after a removal")
    }

    @Test
    fun aPackagedBundleThatCannotBeCopiedHidesNoOther() {
        source.copyRecursively(File(root, "sound"))
        File(packaged.folder, "hollow").mkdirs()
        File(packaged.folder, "short").also { source.copyRecursively(it) }.resolve("graph_b.tflite").delete()
        val found = list().associateBy { it.root.name }
        assertNotNull(found.getValue("sound").manifest)
        assertTrue("manifest.json" in found.getValue("hollow").problem!!)
        assertTrue("graph_b.tflite" in found.getValue("short").problem!!)
        assertFalse(File(root, "short").exists())
    }

    @Test
    fun onePackagedBundleIsFoundByItsName() {
        source.copyRecursively(File(packaged.folder, "one"))
        source.copyRecursively(File(packaged.folder, "other"))
        File(packaged.folder, "short").also { source.copyRecursively(it) }.resolve("graph_b.tflite").delete()
        val found = bundles.packaged("one", packaged)
        assertEquals(File(root, "one"), found)
        Bundle.open(found)
        assertEquals(setOf("one", ".carried"), root.list()?.toSet(), "no other is copied")
        change(found)
        val pushed = bundles.fingerprint(found)
        assertEquals(found, bundles.packaged("one", packaged))
        assertEquals(pushed, bundles.fingerprint(found), "one pushed over it stays")
        val missing = assertFailsWith<BundleException> { bundles.packaged("none", packaged) }
        assertEquals(BundleException.Reason.MISSING, missing.reason)
        assertTrue("'none'" in missing.message!!)
        val short = assertFailsWith<BundleException> { bundles.packaged("short", packaged) }
        assertTrue("graph_b.tflite" in short.message!!)
    }

    @Test
    fun stagingFoldersOfAnEarlierProcessAreRemoved() {
        val left = File(root, ".staging-app-12-99/bundle").apply { mkdirs() }
        val own = File(root, ".staging-app-4711-99/bundle").apply { mkdirs() }
        list()
        assertFalse(left.parentFile.exists())
        assertTrue(own.exists())
    }

    @Test
    fun aZipIsInstalledUnderItsVariantAndTarget() {
        val bytes = ByteArrayOutputStream().also { out ->
            ZipOutputStream(out).use { zip ->
                for (file in source.walkTopDown().filter { it.isFile }) {
                    zip.putNextEntry(ZipEntry(file.relativeTo(source).path))
                    zip.write(file.readBytes())
                }
            }
        }.toByteArray()
        val kept = bundles.import(bytes.inputStream())
        val manifest = Bundle.open(kept).manifest
        assertEquals("${manifest.variant}-${manifest.target}".replace('.', '_'), kept.name)
        assertEquals(kept, bundles.import(bytes.inputStream()), "the same one again replaces it")
        assertEquals(listOf(kept.name), names())
        assertFailsWith<BundleException> { bundles.import("no zip".byteInputStream()) }
        assertEquals(listOf(kept.name), root.list()?.toList(), "no staging folder is left")
        assertNull(bundles.fingerprint(File(root, "nowhere")))
    }
}
