package org.detr2litert.core

import org.detr2litert.core.decode.MaskDecoder
import org.detr2litert.core.manifest.PreprocessSpec
import org.detr2litert.core.manifest.Resize
import java.lang.management.ManagementFactory

private const val MASKS = 10
private const val ROUNDS = 60
private const val WARM_UP = 20

/**
 * Measures the decoding of ten masks to a picture of 640 x 480 pixels on this JVM: `android_sample/check.sh --measure`. No test,
 * since a busy machine is slow. The logits are discs of different sizes with a little noise on them, as many cells as RF-DETR Seg
 * has: 78 in nano, 192 in 2xlarge; the largest of the ten covers two thirds of the picture.
 */
fun main() {
    val threads = ManagementFactory.getThreadMXBean()
    for (cells in listOf(78, 108, 192)) {
        val room = 32
        val spec = PreprocessSpec(4 * cells, 4 * cells, Resize.BILINEAR, 1.0, listOf(0.0, 0.0, 0.0), listOf(1.0, 1.0, 1.0))
        val decoder = MaskDecoder(cells, cells, room, spec)
        val random = java.util.Random(1)
        val logits = FloatArray(cells * cells * room) { at ->
            val (index, cell) = at % room to at / room
            val x = (cell % cells) / cells.toFloat() - 0.5f
            val y = (cell / cells) / cells.toFloat() - 0.5f
            val radius = 0.05f + 0.045f * index
            20f * (radius * radius - x * x - y * y) + 0.1f * random.nextGaussian().toFloat()
        }
        var pixels = 0L
        val millis = DoubleArray(ROUNDS)
        val busyMillis = DoubleArray(ROUNDS)
        for (round in -WARM_UP until ROUNDS) {
            val start = System.nanoTime()
            val busy = threads.currentThreadCpuTime
            decoder.read(logits, MASKS)
            for (index in 0 until MASKS) pixels += decoder.decode(index, 640, 480).area
            if (round < 0) continue
            millis[round] = (System.nanoTime() - start) / 1e6
            busyMillis[round] = (threads.currentThreadCpuTime - busy) / 1e6
        }
        millis.sort()
        busyMillis.sort()
        val times = "median %.1f ms of the processor, %.1f ms on the clock (fastest %.1f, slowest %.1f)"
            .format(busyMillis[ROUNDS / 2], millis[ROUNDS / 2], millis.first(), millis.last())
        println("$MASKS masks of $cells x $cells cells to 640 x 480: $times ($pixels pixels in all)")
    }
}
