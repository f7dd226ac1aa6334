package org.detr2litert.core.decode

import org.detr2litert.core.host.HostOps
import org.detr2litert.core.manifest.PreprocessSpec
import org.detr2litert.core.preprocess.Placement
import kotlin.math.floor

/**
 * Decodes graph M's logits to masks, pixel by pixel equal to `host_runtime.masks`: a bilinear resize to the picture with
 * half-pixel centres and without antialias, first along rows, then along columns, in float32; a pixel is of the object if its
 * logit is above 0.
 *
 * [read] takes the logits apart in one pass, and [decode] makes a mask of one plane: read mask by mask, with K values between two
 * of a mask, they would pass through the cache as often as there are masks. Between two cells that are both on the same side of 0
 * every pixel is on that side too, so only pixels at an object's edge are computed. A call allocates the mask, and memory that is
 * kept for pictures of the same size. Not thread-safe.
 *
 * @param rows h of the logits [1, h, w, K], which cover the input.
 * @param columns w.
 * @param room K.
 * @param sigmoid whether probabilities less a half are resized in place of logits.
 */
class MaskDecoder(
    private val rows: Int,
    private val columns: Int,
    private val room: Int,
    private val input: PreprocessSpec,
    private val sigmoid: Boolean = false,
) {
    private val placement = Placement(input)
    private val planes = Array(room) { FloatArray(rows * columns) }

    /** For each mask and column of cells, whether any may be above 0. */
    private val marked = Array(room) { BooleanArray(columns) }
    private val line = FloatArray(rows)
    private val runs = Runs()
    private var across = Resized(0)
    private var down = Resized(0)

    /** Takes the first [count] masks from [logits], [1, h, w, K], for [decode]. */
    fun read(logits: FloatArray, count: Int = room) {
        require(logits.size == rows * columns * room && count in 0..room) { "$count masks of ${logits.size} logits" }
        for (index in 0 until count) marked[index].fill(false)
        var from = 0
        for (row in 0 until rows) {
            for (column in 0 until columns) {
                for (index in 0 until count) {
                    val value = if (sigmoid) HostOps.sigmoid(logits[from + index]) - 0.5f else logits[from + index]
                    planes[index][row * columns + column] = value
                    // NaN is not below 0 either.
                    if (!(value <= 0f)) marked[index][column] = true
                }
                from += room
            }
        }
    }

    /**
     * @param index of a mask that was [read].
     * @param width with [height] the picture's size in pixels.
     */
    fun decode(index: Int, width: Int, height: Int): Mask {
        if (placement.place(width, height)) {
            across = Resized(width).apply { fill(placement.width, placement.left, input.width, columns) }
            down = Resized(height).apply { fill(placement.height, placement.top, input.height, rows) }
        }
        val plane = planes[index]
        runs.clear()
        for (x in 0 until width) {
            val low = across.low[x]
            val high = across.high[x]
            if (!marked[index][low] && !marked[index][high]) {
                runs.add(false, height)
                continue
            }
            val share = across.share[x]
            val rest = 1f - share
            var at = 0
            for (row in 0 until rows) {
                line[row] = plane[at + low] * rest + plane[at + high] * share
                at += columns
            }
            column()
        }
        return Mask(width, height, runs.take())
    }

    /** Adds the pixels of one column of the picture, whose logits at the cells' rows are in [line]. */
    private fun column() {
        var y = 0
        while (y < down.size) {
            val end = down.end[y]
            val upper = line[down.low[y]]
            val lower = line[down.high[y]]
            if (upper <= 0f && lower <= 0f) {
                runs.add(false, end - y)
            } else if (upper > SMALL && lower > SMALL && upper < LARGE && lower < LARGE) {
                runs.add(true, end - y)
            } else {
                for (pixel in y until end) {
                    runs.add(upper * (1f - down.share[pixel]) + lower * down.share[pixel] > 0f, 1)
                }
            }
            y = end
        }
    }

    /** For each pixel of a side: the two nearest cells, the share of the second, and the next pixel between other cells. */
    private class Resized(val size: Int) {
        val low = IntArray(size)
        val high = IntArray(size)
        val share = FloatArray(size)
        val end = IntArray(size)

        /** [resized] pixels of the input's [whole] are of the picture, from [offset] on; [cells] cover all of it. */
        fun fill(resized: Int, offset: Int, whole: Int, cells: Int) {
            val scale = resized.toDouble() / size
            val cell = cells.toDouble() / whole
            for (pixel in 0 until size) {
                val centre = (((pixel + 0.5) * scale + offset) * cell - 0.5).coerceIn(0.0, (cells - 1).toDouble())
                low[pixel] = floor(centre).toInt()
                high[pixel] = minOf(low[pixel] + 1, cells - 1)
                share[pixel] = (centre - low[pixel]).toFloat()
            }
            var next = size
            for (pixel in size - 1 downTo 0) {
                if (pixel + 1 < size && low[pixel] != low[pixel + 1]) next = pixel + 1
                end[pixel] = next
            }
        }
    }

    /** Run lengths being counted, the first of pixels outside of the object. */
    private class Runs {
        private var lengths = IntArray(64)
        private var count = 1
        private var inside = false

        fun clear() {
            count = 1
            lengths[0] = 0
            inside = false
        }

        fun add(isInside: Boolean, pixels: Int) {
            if (isInside != inside) {
                inside = isInside
                if (count == lengths.size) lengths = lengths.copyOf(2 * count)
                lengths[count++] = 0
            }
            lengths[count - 1] += pixels
        }

        fun take(): IntArray = lengths.copyOf(count)
    }

    private companion object {
        /** Between these no mean underflows to 0 or overflows: the larger of the two shares is at least a half. */
        const val SMALL = 1e-20f
        const val LARGE = 1e20f
    }
}
