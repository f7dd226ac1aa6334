package org.detr2litert.core

import org.detr2litert.core.BundleException.Reason
import org.detr2litert.core.bundle.Bundle
import org.detr2litert.core.bundle.BundleZip
import org.detr2litert.core.tensor.FloatTensor
import org.detr2litert.core.tensor.IntTensor
import org.detr2litert.core.tensor.LittleEndian
import org.detr2litert.core.tensor.Safetensors
import org.junit.Rule
import org.junit.rules.TemporaryFolder
import java.io.File
import java.nio.file.Files
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class BundleTest {
    @get:Rule
    val folder = TemporaryFolder()

    private val source get() = File(Goldens.root, "bundles/hand_made")

    private fun copied(): File = File(folder.newFolder(), "bundle").also { source.copyRecursively(it) }

    private fun refusal(root: File): BundleException = assertFailsWith { Bundle.open(root) }

    @Test
    fun aValidBundleOpens() {
        val bundle = Bundle.open(copied())
        assertEquals(listOf("cells"), bundle.hostConstants().keys.toList())
        assertTrue(bundle.file("golden/image.png").isFile)
        assertEquals(64, bundle.manifestSha256.length)
        assertEquals(bundle.manifest, Bundle.peek(bundle.root))
    }

    @Test
    fun everyFaultIsNamed() {
        assertEquals(Reason.MISSING, refusal(folder.newFolder()).reason)
        assertEquals(Reason.MISSING, refusal(File(folder.root, "nowhere")).reason)

        val missing = copied().also { File(it, "graph_b.tflite").delete() }
        refusal(missing).let { assertTrue(it.reason == Reason.MISSING && "graph_b.tflite" in it.message!!) }

        val short = copied().also { root -> File(root, "labels.txt").writeText("red") }
        refusal(short).let { assertTrue(it.reason == Reason.DAMAGED && "cut short" in it.message!!) }

        val long = copied().also { root -> File(root, "labels.txt").appendText("more") }
        assertTrue("too long" in refusal(long).message!!)

        val changed = copied().also { root -> File(root, "labels.txt").run { writeText(readText().replace("red", "rad")) } }
        refusal(changed).let { assertTrue(it.reason == Reason.DAMAGED && "sha256" in it.message!!) }

        val notText = copied().also { root -> File(root, "manifest.json").writeBytes(byteArrayOf(-1, -2)) }
        assertEquals(Reason.MANIFEST, refusal(notText).reason)
    }

    @Test
    fun pathsOutsideTheBundleAreRefused() {
        for (path in listOf("../x", "/x", "a/../../x", "a//b", "C:x", "a\\\\b", ".", "golden/./image.png")) {
            val root = copied()
            File(root, "manifest.json").run { writeText(readText().replace("\"labels.txt\"", "\"$path\"")) }
            assertEquals(Reason.UNSAFE, refusal(root).reason, path)
        }
    }

    @Test
    fun linksAreRefused() {
        val file = copied().also { root ->
            val moved = File(folder.newFolder(), "labels.txt")
            File(root, "labels.txt").run {
                copyTo(moved)
                delete()
            }
            Files.createSymbolicLink(File(root, "labels.txt").toPath(), moved.toPath())
        }
        assertEquals(Reason.UNSAFE, refusal(file).reason)

        val parent = copied().also { root ->
            val moved = File(folder.newFolder(), "golden")
            File(root, "golden").run { copyRecursively(moved) && deleteRecursively() }
            Files.createSymbolicLink(File(root, "golden").toPath(), moved.toPath())
        }
        assertEquals(Reason.UNSAFE, refusal(parent).reason)
    }

    @Test
    fun aBundleBehindALinkIsABundle() {
        val link = File(folder.newFolder(), "link")
        Files.createSymbolicLink(link.toPath(), copied().toPath())
        Bundle.open(link)
    }

    private fun zipped(prefix: String = "", change: (String, ByteArray) -> ByteArray? = { _, bytes -> bytes }): File {
        val zip = folder.newFile("${System.nanoTime()}.zip")
        ZipOutputStream(zip.outputStream()).use { out ->
            for (file in source.walk().filter { it.isFile }) {
                val name = file.relativeTo(source).invariantSeparatorsPath
                val bytes = change(name, file.readBytes()) ?: continue
                out.putNextEntry(ZipEntry(prefix + name))
                out.write(bytes)
            }
        }
        return zip
    }

    @Test
    fun aZipUnpacks() {
        for (prefix in listOf("", "bundle/")) {
            val into = folder.newFolder()
            assertEquals("cells", BundleZip.unpack(zipped(prefix), into).variant)
            Bundle.open(into)
        }
    }

    @Test
    fun badZipsAreRefused() {
        fun reason(zip: File): Reason = assertFailsWith<BundleException> { BundleZip.unpack(zip, folder.newFolder()) }.reason
        assertEquals(Reason.DAMAGED, reason(folder.newFile("a.zip").also { it.writeText("no zip") }))
        assertEquals(Reason.MISSING, reason(zipped { name, bytes -> bytes.takeIf { name != "manifest.json" } }))
        assertEquals(Reason.MISSING, reason(zipped { name, bytes -> bytes.takeIf { name != "labels.txt" } }))
        assertEquals(Reason.MISSING, reason(zipped("a/b/")))
        assertEquals(Reason.DAMAGED, reason(zipped { name, bytes -> if (name == "labels.txt") ByteArray(1 shl 20) else bytes }))
        assertEquals(Reason.UNSAFE, reason(zipped("../")))
    }

    @Test
    fun inconsistentSafetensorsAreRefused() {
        fun file(header: String, data: Int): File = folder.newFile().also {
            val text = header.toByteArray()
            it.writeBytes(LittleEndian.encode(IntTensor(listOf(2), intArrayOf(text.size, 0))) + text + ByteArray(data))
        }
        val good = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}"
        assertEquals(listOf(2), Safetensors.read(file(good, 8)).getValue("a").shape)
        val bad = listOf(
            good to 4,
            good to 12,
            good.replace("[0,8]", "[4,12]") to 12,
            good.replace("[0,8]", "[0,7]") to 7,
            good.replace("[2]", "[3]") to 8,
            good.replace("F32", "F16") to 8,
            good.replace("[0,8]", "[8,0]") to 8,
            good.replace("[0,8]", "[]") to 8,
            good.replace("[0,8]", "[0]") to 8,
            "{" to 8,
            "[]" to 8,
        )
        for ((header, data) in bad) assertFailsWith<BundleException>(header) { Safetensors.read(file(header, data)) }
        assertFailsWith<BundleException> { Safetensors.read(folder.newFile().also { it.writeBytes(ByteArray(3)) }) }
        assertFailsWith<BundleException> { Safetensors.read(folder.newFile().also { it.writeBytes(ByteArray(8) { -1 }) }) }
    }

    @Test
    fun rawBytesRoundTrip() {
        val floats = FloatTensor(listOf(2, 2), floatArrayOf(1f, -0f, Float.NaN, Float.POSITIVE_INFINITY))
        val bytes = LittleEndian.encode(floats)
        assertEquals(listOf<Byte>(0, 0, -128, 63), bytes.take(4))
        val read = LittleEndian.decode(bytes, 0, bytes.size, floats.shape, floats.dtype) as FloatTensor
        assertEquals(floats.data.map { it.toRawBits() }, read.data.map { it.toRawBits() })
        assertFailsWith<IllegalArgumentException> { LittleEndian.decode(bytes, 0, bytes.size, listOf(3), floats.dtype) }
    }
}
