package org.detr2litert.core

import org.detr2litert.core.manifest.Fit
import org.detr2litert.core.manifest.PreprocessSpec
import org.detr2litert.core.manifest.Resize
import org.detr2litert.core.preprocess.Picture
import org.detr2litert.core.preprocess.Preprocessor
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

/** Parallel loops, and that the pre-processing gives the same with them. */
class WorkersTest {
    @Test
    fun everyRowRunsOnceAndAFailureIsReported() {
        Workers(4).use { workers ->
            for (rows in listOf(0, 1, 3, 4, 1000)) {
                val hits = IntArray(rows)
                workers.run(rows) { _, from, to -> for (row in from until to) hits[row]++ }
                assertTrue(hits.all { it == 1 }, "$rows rows")
            }
            assertFailsWith<IllegalStateException> { workers.run(4) { _, from, _ -> check(from == 0) } }
            var sum = 0
            workers.run(1) { _, _, to -> sum += to }
            assertEquals(1, sum)
        }
    }

    /** A failure is of one loop, also where the calling thread's part failed with the others'. */
    @Test
    fun theNextLoopRuns() {
        Workers(3).use { workers ->
            assertFailsWith<IllegalArgumentException> { workers.run(3) { part, _, _ -> require(part < 0) } }
            val hits = IntArray(3)
            workers.run(3) { part, _, _ -> hits[part]++ }
            assertEquals(listOf(1, 1, 1), hits.toList())
        }
    }

    /** Both orders of the directions in 8 bits are among the sizes; what is not written differs between the two inputs. */
    @Test
    fun preprocessingIsTheSameWithOneWorkerAndWithThree() {
        val random = Random(11)
        val sizes = listOf(90 to 31, 31 to 90, 7 to 5, 40 to 9, 17 to 12, 1 to 1, 9 to 200, 90 to 31)
        for (resize in Resize.entries) {
            for (fit in Fit.entries) {
                for (channels in listOf(3, 1)) {
                    val spec = spec(resize, fit, channels)
                    Workers(3).use { workers ->
                        val one = Preprocessor(spec, Workers(1))
                        val three = Preprocessor(spec, workers)
                        for ((width, height) in sizes) {
                            val picture = Picture(width, height, IntArray(width * height) { random.nextInt() })
                            val name = "$spec of $width x $height"
                            val floats = FloatArray(one.size) { -7f }.also { one.run(picture, it) }
                            assertContentEquals(floats, FloatArray(one.size) { -8f }.also { three.run(picture, it) }, name)
                            if (!spec.inWholePixels) continue
                            val bytes = ByteArray(one.size) { 7 }.also { one.run(picture, it) }
                            assertContentEquals(bytes, ByteArray(one.size) { 8 }.also { three.run(picture, it) }, name)
                        }
                    }
                }
            }
        }
    }

    private fun spec(resize: Resize, fit: Fit, channels: Int) = PreprocessSpec(
        height = 12,
        width = 17,
        resize = resize,
        scale = 1 / 255.0,
        mean = listOf(0.485, 0.456, 0.406).take(channels),
        std = listOf(0.229, 0.224, 0.225).take(channels),
        fit = fit,
        fill = listOf(114.0, 0.0, 255.0).take(if (fit == Fit.STRETCH) 0 else channels),
    )
}
