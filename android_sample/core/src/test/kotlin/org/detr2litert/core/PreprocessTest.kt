package org.detr2litert.core

import org.detr2litert.core.manifest.Fit
import org.detr2litert.core.manifest.ManifestReader
import org.detr2litert.core.manifest.PreprocessSpec
import org.detr2litert.core.manifest.Resize
import org.detr2litert.core.preprocess.Picture
import org.detr2litert.core.preprocess.Preprocessor
import org.detr2litert.core.preprocess.Rotation
import org.detr2litert.core.preprocess.YuvConverter
import org.detr2litert.core.preprocess.YuvPlanes
import java.nio.ByteBuffer
import kotlin.math.abs
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class PreprocessTest {
    /**
     * Tolerance 1e-5 of normalised values (about 6e-4 of a pixel step): sums over long filters are rounded differently. Pixels
     * in 8 bits are the same to the last bit.
     */
    @Test
    fun everyPreprocessingAgreesWithPython() {
        for (case in Goldens.cases("resizes")) {
            val json = case.settings.child("preprocess")
            val spec = ManifestReader.preprocess(json)
            val (height, width) = case.tensors.getValue("picture").shape
            val preprocessor = Preprocessor(spec)
            val input = FloatArray(preprocessor.size)
            preprocessor.run(Picture(width, height, case.ints("picture")), input)
            assertClose(case.floats("input"), input, if (spec.resize == Resize.BILINEAR_8BIT) 0f else 1e-5f, case.name)
        }
    }

    @Test
    fun pictureSizesMayChangeFromFrameToFrame() {
        for (resize in Resize.entries) {
            val preprocessor =
                Preprocessor(PreprocessSpec(4, 4, resize, 1.0, listOf(0.0, 0.0, 0.0), listOf(1.0, 1.0, 1.0)))
            val input = FloatArray(preprocessor.size)
            for ((width, height) in listOf(9 to 7, 3 to 20, 9 to 7)) {
                val picture = Picture(width, height).apply { pixels.fill(0x7F102030) }
                preprocessor.run(picture, input)
                for (channel in 0 until 3) {
                    for (index in 0 until 16) {
                        assertEquals(listOf(16f, 32f, 48f)[channel], input[channel * 16 + index], 1e-4f, "$resize")
                    }
                }
            }
        }
    }

    @Test
    fun aLetterboxPadsEveryPictureAnew() {
        val plain = PreprocessSpec(4, 8, Resize.BILINEAR, 1.0, listOf(0.0, 0.0, 0.0), listOf(1.0, 1.0, 1.0))
        val spec = plain.copy(fit = Fit.LETTERBOX, fill = listOf(1.0, 2.0, 3.0))
        val preprocessor = Preprocessor(spec)
        val input = FloatArray(preprocessor.size)
        val regions = mapOf((4 to 4) to (2..5), (8 to 4) to (0..7), (2 to 4) to (3..4))
        for ((size, region) in regions) {
            val picture = Picture(size.first, size.second).apply { pixels.fill(0x7F102030) }
            preprocessor.run(picture, input)
            for (x in 0 until 8) assertEquals(if (x in region) 32f else 2f, input[32 + x], 1e-4f, "$size at $x")
        }
    }

    @Test
    fun rotationTurnsTheFrameUpright() {
        // Luma counts up, chroma is neutral, so a pixel's grey level is its index in the frame.
        val frame = grey(4, 2)
        val expected = mapOf(
            Rotation.NONE to listOf(0, 1, 2, 3, 4, 5, 6, 7),
            Rotation.RIGHT to listOf(4, 0, 5, 1, 6, 2, 7, 3),
            Rotation.HALF to listOf(7, 6, 5, 4, 3, 2, 1, 0),
            Rotation.LEFT to listOf(3, 7, 2, 6, 1, 5, 0, 4),
        )
        val converter = YuvConverter()
        val picture = Picture(1, 1)
        for ((rotation, places) in expected) {
            converter.convert(frame, rotation, picture)
            assertEquals(if (rotation.swapsSides) 2 to 4 else 4 to 2, picture.width to picture.height)
            assertEquals(places, picture.pixels.take(8).map { it and 0xFF }, rotation.name)
        }
    }

    @Test
    fun coloursAreWithinOneStepOfTheFormula() {
        val random = Random(3)
        val width = 6
        val height = 5
        for (pixelStride in 1..2) {
            val rowStride = 3 * pixelStride + 4
            val y = ByteArray(8 * height).also { random.nextBytes(it) }
            val u = ByteArray(rowStride * 3).also { random.nextBytes(it) }
            val v = ByteArray(rowStride * 3).also { random.nextBytes(it) }
            // The last row of a plane ends with its last pixel, as on phones.
            val chromaLimit = rowStride * 2 + 2 * pixelStride + 1
            val planes = YuvPlanes(
                width,
                height,
                limited(y, 8 * (height - 1) + width),
                8,
                limited(u, chromaLimit),
                limited(v, chromaLimit),
                rowStride,
                pixelStride,
            )
            val picture = Picture(1, 1)
            YuvConverter().convert(planes, Rotation.NONE, picture)
            for (row in 0 until height) {
                for (column in 0 until width) {
                    val luma = (y[row * 8 + column].toInt() and 0xFF).toDouble()
                    val at = row / 2 * rowStride + column / 2 * pixelStride
                    val blue = (u[at].toInt() and 0xFF) - 128
                    val red = (v[at].toInt() and 0xFF) - 128
                    val wanted = listOf(luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue)
                    val pixel = picture.pixels[row * width + column]
                    val found = listOf((pixel shr 16) and 0xFF, (pixel shr 8) and 0xFF, pixel and 0xFF)
                    assertTrue(
                        wanted.zip(found).all { (want, got) ->
                            abs(want.coerceIn(0.0, 255.0) - got) <= 1
                        },
                        "$wanted $found",
                    )
                    assertEquals(0xFF, pixel ushr 24)
                }
            }
        }
    }

    @Test
    fun cameraRotationFollowsSensorAndScreen() {
        assertEquals(Rotation.RIGHT, Rotation.ofCamera(sensor = 90, display = 0, front = false))
        assertEquals(Rotation.NONE, Rotation.ofCamera(sensor = 90, display = 90, front = false))
        assertEquals(Rotation.HALF, Rotation.ofCamera(sensor = 90, display = 270, front = false))
        assertEquals(Rotation.LEFT, Rotation.ofCamera(sensor = 270, display = 0, front = true))
        assertEquals(Rotation.NONE, Rotation.ofCamera(sensor = 270, display = 90, front = true))
        assertFailsWith<IllegalArgumentException> { Rotation.of(45) }
    }

    @Test
    fun aPictureReusesItsMemoryWhenItShrinks() {
        val picture = Picture(10, 10)
        val pixels = picture.pixels
        picture.resize(5, 4)
        assertContentEquals(pixels, picture.pixels)
        assertTrue(pixels === picture.pixels)
    }

    private fun grey(width: Int, height: Int): YuvPlanes {
        val luma = ByteBuffer.wrap(ByteArray(width * height) { it.toByte() })
        val chroma = ByteArray((width / 2) * (height / 2)) { -128 }
        return YuvPlanes(width, height, luma, width, ByteBuffer.wrap(chroma), ByteBuffer.wrap(chroma.clone()), width / 2, 1)
    }

    private fun limited(bytes: ByteArray, limit: Int): ByteBuffer = ByteBuffer.wrap(bytes).also { it.limit(limit) }
}
