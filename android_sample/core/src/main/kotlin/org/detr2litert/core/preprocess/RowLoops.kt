package org.detr2litert.core.preprocess

/**
 * Loops along a row for the resizes. Each is a separate function that uses one index, without an offset, for all arrays that it
 * walks: then the virtual machine vectorises it (on HotSpot 17 at a quarter of the time). So the pixels of a row that are
 * multiplied by a filter's tap are first copied to a line, and the line is split into a plane for each channel.
 */
internal object RowLoops {
    /** line[x] = from[start + sources[x]]. */
    fun gather(from: IntArray, start: Int, sources: IntArray, count: Int, line: IntArray) {
        for (x in 0 until count) line[x] = from[start + sources[x]]
    }

    /** line[x] = from[sources[x]]. */
    fun gather(from: FloatArray, sources: IntArray, count: Int, line: FloatArray) {
        for (x in 0 until count) line[x] = from[sources[x]]
    }

    /** Splits pixels into planes of red, green and blue, or into one of grey levels. */
    fun split(line: IntArray, count: Int, planes: Array<IntArray>) {
        if (planes.size == 1) toGrey(line, count, planes[0]) else toColours(line, count, planes[0], planes[1], planes[2])
    }

    private fun toColours(line: IntArray, count: Int, red: IntArray, green: IntArray, blue: IntArray) {
        for (x in 0 until count) {
            red[x] = (line[x] shr 16) and 0xFF
            green[x] = (line[x] shr 8) and 0xFF
            blue[x] = line[x] and 0xFF
        }
    }

    private fun toGrey(line: IntArray, count: Int, levels: IntArray) {
        for (x in 0 until count) levels[x] = luma(line[x])
    }

    /** sums[x] += values[x] * weight; the other three likewise. */
    fun add(values: IntArray, weight: Int, count: Int, sums: IntArray) {
        for (x in 0 until count) sums[x] += values[x] * weight
    }

    fun add(values: IntArray, weights: IntArray, count: Int, sums: IntArray) {
        for (x in 0 until count) sums[x] += values[x] * weights[x]
    }

    fun add(values: IntArray, weight: Float, count: Int, sums: FloatArray) {
        for (x in 0 until count) sums[x] += values[x] * weight
    }

    fun add(values: FloatArray, weights: FloatArray, count: Int, sums: FloatArray) {
        for (x in 0 until count) sums[x] += values[x] * weights[x]
    }

    /**
     * Rounds sums, already increased by a half, in units of 2^-[FixedPointFilter.PRECISION] to 8 bits: at most 255, though rounded
     * weights may add up to slightly more than 1. Not by minOf, with which the loop is not vectorised.
     */
    fun round(sums: IntArray, count: Int) {
        for (x in 0 until count) {
            val level = sums[x] shr FixedPointFilter.PRECISION
            sums[x] = level - (level shr 8)
        }
    }

    /** The reverse of [split]; a grey level becomes a grey pixel. */
    fun join(planes: Array<IntArray>, count: Int, line: IntArray) {
        if (planes.size == 1) fromGrey(planes[0], count, line) else fromColours(planes[0], planes[1], planes[2], count, line)
    }

    private fun fromColours(red: IntArray, green: IntArray, blue: IntArray, count: Int, line: IntArray) {
        for (x in 0 until count) line[x] = (red[x] shl 16) or (green[x] shl 8) or blue[x]
    }

    private fun fromGrey(levels: IntArray, count: Int, line: IntArray) {
        for (x in 0 until count) line[x] = levels[x] * 0x10101
    }

    /** Normalises values from 0 to 255 in place, with the manifest's scale as a division. */
    fun normalise(values: FloatArray, count: Int, divisor: Float, mean: Float, std: Float) {
        for (x in 0 until count) values[x] = (values[x] / divisor - mean) / std
    }
}
