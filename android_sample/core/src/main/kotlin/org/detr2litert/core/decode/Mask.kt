package org.detr2litert.core.decode

import kotlin.math.ceil

/**
 * Which pixels of a picture are of an object; immutable.
 *
 * @param runs COCO's run lengths: pixels column by column, the lengths of the runs outside and inside of the object in turn, of
 *   which the first is outside and may be 0.
 */
class Mask internal constructor(val width: Int, val height: Int, private val runs: IntArray) {
    /** The number of pixels of the object. */
    val area: Int get() = runs.indices.sumOf { if (it % 2 == 1) runs[it] else 0 }

    /** Whether the pixel in [row] and [column] is of the object; searches the run lengths, so not for a loop over pixels. */
    fun contains(row: Int, column: Int): Boolean {
        var rest = column.toLong() * height + row
        for (index in runs.indices) {
            rest -= runs[index]
            if (rest < 0) return index % 2 == 1
        }
        return false
    }

    /**
     * Calls [segment] for each vertical line of the object's pixels: a column, its first row, and the row after its last; the
     * columns in ascending order.
     */
    inline fun forEachSegment(segment: (column: Int, from: Int, until: Int) -> Unit) {
        var start = 0
        for (index in 0 until runCount) {
            val end = start + run(index)
            if (index % 2 == 1) {
                var at = start
                while (at < end) {
                    val column = at / height
                    val until = minOf(end, (column + 1) * height)
                    segment(column, at - column * height, until - column * height)
                    at = until
                }
            }
            start = end
        }
    }

    /** The mask without the pixels outside of a box: pixel x is inside if [left] <= x < [right], and y likewise. */
    fun within(left: Float, top: Float, right: Float, bottom: Float): Mask {
        val columns = pixels(left, right, width)
        val rows = pixels(top, bottom, height)
        val changes = ArrayList<Int>()
        forEachSegment { column, from, until ->
            val first = maxOf(from, rows.first)
            val end = minOf(until, rows.last + 1)
            if (column in columns && first < end) {
                val start = column * height + first
                // A segment that continues the one before, from the last row of a column to the first of the next.
                if (changes.isNotEmpty() && changes.last() == start) changes.removeAt(changes.size - 1) else changes += start
                changes += column * height + end
            }
        }
        if (changes.isEmpty() || changes.last() != width * height) changes += width * height
        return Mask(width, height, IntArray(changes.size) { changes[it] - if (it == 0) 0 else changes[it - 1] })
    }

    private fun pixels(from: Float, until: Float, side: Int): IntRange =
        maxOf(0, ceil(from).toInt()) until minOf(side, ceil(until).toInt())

    @PublishedApi
    internal val runCount: Int get() = runs.size

    @PublishedApi
    internal fun run(index: Int): Int = runs[index]

    /**
     * The run lengths in COCO's compressed form, equal to those of `host_runtime.masks` and pycocotools (`common/maskApi.c`):
     * from the fourth on each is the difference to the one two before; in characters of 5 bits from '0' on, a sixth bit saying
     * that more follow.
     */
    fun counts(): String = buildString {
        for (index in runs.indices) {
            var value = if (index > 2) runs[index] - runs[index - 2] else runs[index]
            do {
                val bits = value and 31
                value = value shr BITS
                val more = value != if (bits and 16 != 0) -1 else 0
                append((FIRST + if (more) bits or 32 else bits).toChar())
            } while (more)
        }
    }

    override fun equals(other: Any?) =
        other is Mask && width == other.width && height == other.height && runs.contentEquals(other.runs)

    override fun hashCode() = 31 * (31 * width + height) + runs.contentHashCode()

    override fun toString() = "mask of $area pixels of ${width}x$height"

    private companion object {
        const val FIRST = 48
        const val BITS = 5
    }
}
