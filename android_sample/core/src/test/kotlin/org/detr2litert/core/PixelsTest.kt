package org.detr2litert.core

import org.detr2litert.core.manifest.Fit
import org.detr2litert.core.manifest.ManifestReader
import org.detr2litert.core.manifest.NativeFiles
import org.detr2litert.core.manifest.PreprocessSpec
import org.detr2litert.core.manifest.Resize
import org.detr2litert.core.preprocess.Picture
import org.detr2litert.core.preprocess.Placement
import org.detr2litert.core.preprocess.Preprocessor
import org.detr2litert.core.tensor.ByteTensor
import org.detr2litert.core.tensor.DType
import org.detr2litert.core.tensor.LittleEndian
import org.detr2litert.core.tensor.Safetensors
import org.junit.Rule
import org.junit.rules.TemporaryFolder
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

/** The resized picture's pixels as graph A's input: their manifest, their pre-processing and their tensors. */
class PixelsTest {
    @get:Rule
    val folder = TemporaryFolder()

    @Test
    fun aNativeFormMayTakePixels() {
        val manifest = ManifestReader.read(PixelManifests.text())
        assertEquals(NativeFiles("graph_b.native.tflite", "graph_b.native.tflite", pixels = "pixels"), manifest.native)
        assertEquals(listOf("image" to DType.FLOAT32), manifest.graphA.inputs.map { it.name to it.dtype })
        val padded = arrayOf("preprocess.fit" to "letterbox", "preprocess.fill" to listOf(0, 114.0, 255))
        assertTrue(ManifestReader.read(PixelManifests.text(*padded)).preprocess.inWholePixels)
        val ofGraphB = ManifestReader.read(PixelManifests.text("native.pixels" to "logits"))
        assertEquals("logits", ofGraphB.native?.pixels)
    }

    @Test
    fun pixelsThatDoNotFitAreRefusedAsInPython() {
        val fractions = "the native form takes pixels, and preprocess gives none of whole numbers"
        val older = "the native form takes pixels, which that of a bundle of schema version 5 does not"
        fun padded(vararg fill: Number) = listOf("preprocess.fit" to "letterbox_top_left", "preprocess.fill" to fill.toList())
        val reasons = listOf(
            listOf("schema_version" to 5) to older,
            listOf("preprocess.resize" to "bilinear") to fractions,
            listOf("preprocess.resize" to "bilinear_antialias") to fractions,
            padded(114, 114.5, 114) to fractions,
            padded(114, 114, 256) to fractions,
            padded(-1, 114, 114) to fractions,
            listOf("native.a" to "graph_a.tflite") to "its graph a is the portable one, which takes the image",
            listOf("native.pixels" to "image") to "native.pixels names another tensor of graph a: 'image'",
            listOf("native.pixels" to "memory") to "native.pixels names another tensor of graph a: 'memory'",
            listOf("native.pixels" to "") to "$.native.pixels: empty",
            listOf("native.pixels" to "x".repeat(513)) to "has 513 characters, more than 512",
            listOf("native.pixels" to null) to "$.native.pixels: not a string",
            listOf("native.pixels" to true) to "$.native.pixels: not a string",
        )
        for ((changes, reason) in reasons) {
            val text = PixelManifests.text(*changes.toTypedArray())
            val refusal = assertFailsWith<BundleException>("$changes") { ManifestReader.read(text) }
            assertTrue(reason in refusal.message!! && '\n' !in refusal.message!!, refusal.message)
        }
    }

    /** An input's type is stated only by `native.pixels`. */
    @Test
    fun noGraphStatesUnsignedBytes() {
        val text = PixelManifests.text()
        for (index in Regex("\"(float32|int32)\"").findAll(text).map { it.range }) {
            val refusal = assertFailsWith<BundleException> { ManifestReader.read(text.replaceRange(index, "\"uint8\"")) }
            assertTrue("'uint8' is not one of float32, int32" in refusal.message!!, refusal.message)
        }
    }

    /** Every float of the portable form is made of the pixel of the native one at its place, padding included. */
    @Test
    fun pixelsAreThoseThatTheFloatsAreMadeOf() {
        val random = Random(5)
        for (channels in listOf(3, 1)) {
            val spec = spec(channels)
            for (fit in Fit.entries) {
                val fill = if (fit == Fit.STRETCH) 0 else channels
                val fitted = spec.copy(fit = fit, fill = listOf(114.0, 0.0, 255.0).take(fill))
                val preprocessor = Preprocessor(fitted)
                val pixels = ByteArray(preprocessor.size).also { random.nextBytes(it) }
                val floats = FloatArray(preprocessor.size)
                for ((width, height) in listOf(7 to 5, 40 to 9, 6 to 31, WIDTH to HEIGHT, 90 to 4)) {
                    val picture = Picture(width, height, IntArray(width * height) { random.nextInt() })
                    preprocessor.run(picture, pixels)
                    preprocessor.run(picture, floats)
                    assertContentEquals(normalised(pixels, fitted), floats, "$fitted of $width x $height")
                    assertPadding(pixels, fitted, width, height)
                }
            }
        }
    }

    @Test
    fun aPictureOfTheInputsSizeIsCopied() {
        val picture = Picture(WIDTH, HEIGHT, IntArray(WIDTH * HEIGHT) { 0x10203 * (it + 1) })
        val preprocessor = Preprocessor(spec(3))
        val pixels = ByteArray(preprocessor.size).also { preprocessor.run(picture, it) }
        val expected = picture.pixels.flatMap { listOf(it shr 16, it shr 8, it) }.map { it.toByte() }
        assertEquals(expected, pixels.toList(), "red, green, blue of each pixel")
        assertFailsWith<IllegalArgumentException> { preprocessor.run(picture, ByteArray(pixels.size - 1)) }
    }

    @Test
    fun aPictureThatIsNotOfWholeNumbersHasNoPixels() {
        val padded = spec(3).copy(fit = Fit.LETTERBOX, fill = listOf(0.0, 0.5, 1.0))
        for (spec in listOf(padded, spec(3).copy(resize = Resize.BILINEAR), spec(3).copy(resize = Resize.BILINEAR_ANTIALIAS))) {
            val preprocessor = Preprocessor(spec)
            assertFailsWith<IllegalStateException> { preprocessor.run(Picture(4, 4), ByteArray(preprocessor.size)) }
        }
    }

    @Test
    fun unsignedBytesAreReadAndWritten() {
        val bytes = byteArrayOf(0, 127, -128, -1, 1, 2)
        val tensor = LittleEndian.decode(bytes, 0, 6, listOf(1, 2, 3), DType.UINT8) as ByteTensor
        assertEquals("uint8[1, 2, 3]", tensor.toString())
        assertContentEquals(bytes, LittleEndian.encode(tensor))
        assertFailsWith<IllegalArgumentException> { LittleEndian.decode(bytes, 0, 6, listOf(7), DType.UINT8) }

        val header = """{"pixels":{"dtype":"U8","shape":[1,2,3],"data_offsets":[0,6]}}"""
        fun file(header: String) = File(folder.root, "golden.safetensors").apply {
            val length = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(header.length.toLong()).array()
            writeBytes(length + header.toByteArray() + bytes)
        }
        val read = Safetensors.read(file(header)).getValue("pixels") as ByteTensor
        assertEquals(listOf(1, 2, 3) to bytes.toList(), read.shape to read.data.toList())
        assertFailsWith<BundleException> { Safetensors.read(file(header.replace("U8", "I8"))) }
    }

    /** By the formula of the pre-processing, [1, channels, height, width] of [1, height, width, channels]. */
    private fun normalised(pixels: ByteArray, spec: PreprocessSpec): FloatArray {
        val plane = spec.height * spec.width
        return FloatArray(pixels.size) { index ->
            val channel = index / plane
            val value = (pixels[index % plane * spec.channels + channel].toInt() and 0xFF).toFloat()
            (value / 255f - spec.mean[channel].toFloat()) / spec.std[channel].toFloat()
        }
    }

    private fun assertPadding(pixels: ByteArray, spec: PreprocessSpec, width: Int, height: Int) {
        val place = Placement(spec).apply { place(width, height) }
        for (index in 0 until spec.height * spec.width) {
            val inside = index / spec.width - place.top in 0 until place.height &&
                index % spec.width - place.left in 0 until place.width
            if (inside) continue
            val found = List(spec.channels) { (pixels[index * spec.channels + it].toInt() and 0xFF).toDouble() }
            assertEquals(spec.fill, found, "at $index")
        }
    }

    private fun spec(channels: Int) = PreprocessSpec(
        HEIGHT,
        WIDTH,
        Resize.BILINEAR_8BIT,
        1 / 255.0,
        listOf(0.485, 0.456, 0.406).take(channels),
        listOf(0.229, 0.224, 0.225).take(channels),
    )

    private companion object {
        const val HEIGHT = 12
        const val WIDTH = 17
    }
}
