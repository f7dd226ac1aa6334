package org.detr2litert.core.draw

import kotlin.math.floor
import kotlin.math.round

/** Class colours, equal to those of `host_runtime.draw`. */
object ClassColours {
    // Golden-ratio steps around the colour wheel separate neighbouring class indices, however many there are.
    private const val GOLDEN = 0.6180339887498949
    private const val MIN_LUMA = 0.35

    /** The class's colour as 0xFFRRGGBB: fixed, bright, and distinct from its neighbours'. */
    fun of(classIndex: Int): Int {
        val hue = (0.02 + classIndex * GOLDEN) % 1.0
        // Every third class is darker and every second paler: classes of similar hue still differ.
        val rgb = hsvToRgb(hue, if (classIndex % 2 == 1) 0.65 else 0.95, if (classIndex % 3 == 2) 0.8 else 1.0)
        // Lightens deep blues and violets: a line of luma below 0.35 is invisible on a dark picture.
        val luma = luma(rgb[0], rgb[1], rgb[2])
        val white = maxOf(0.0, (MIN_LUMA - luma) / (1 - luma))
        val (red, green, blue) = rgb.map { round(255 * (it + (1 - it) * white)).toInt() }
        return (0xFF shl 24) or (red shl 16) or (green shl 8) or blue
    }

    /** Whether black text is easier to read on [colour] than white. */
    fun needsBlackText(colour: Int): Boolean = luma(
        ((colour shr 16) and 0xFF).toDouble(),
        ((colour shr 8) and 0xFF).toDouble(),
        (colour and 0xFF).toDouble(),
    ) > 128

    /** Rec. 601 luma, on the scale of the channels. */
    private fun luma(red: Double, green: Double, blue: Double) = 0.299 * red + 0.587 * green + 0.114 * blue

    private fun hsvToRgb(hue: Double, saturation: Double, value: Double): DoubleArray {
        val sector = floor(hue * 6)
        val rest = hue * 6 - sector
        val p = value * (1 - saturation)
        val q = value * (1 - saturation * rest)
        val t = value * (1 - saturation * (1 - rest))
        return when (sector.toInt() % 6) {
            0 -> doubleArrayOf(value, t, p)
            1 -> doubleArrayOf(q, value, p)
            2 -> doubleArrayOf(p, value, t)
            3 -> doubleArrayOf(p, q, value)
            4 -> doubleArrayOf(t, p, value)
            else -> doubleArrayOf(value, p, q)
        }
    }
}
