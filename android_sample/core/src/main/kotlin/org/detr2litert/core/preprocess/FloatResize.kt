package org.detr2litert.core.preprocess

import org.detr2litert.core.Workers
import org.detr2litert.core.manifest.Resize

/**
 * Resizes a picture vertically, then horizontally, in float32 and in the same order of additions as `host_runtime.preprocess`,
 * with one row of intermediate values for each worker. Rows are distributed among the workers. Allocates only when a size
 * changes. Not thread-safe.
 *
 * @param channels 3 for RGB, 1 for grey.
 */
internal class FloatResize(private val resize: Resize, private val channels: Int, private val workers: Workers) {
    /**
     * Receives row [y] of the result: [row] has by channel its values from 0 to 255, which may be changed, in arrays that may be
     * longer. Different rows come at the same time from different threads.
     */
    fun interface Target {
        fun write(y: Int, row: Array<FloatArray>)
    }

    private lateinit var rows: ResizeFilter
    private lateinit var columns: ResizeFilter
    private lateinit var picture: Picture
    private lateinit var target: Target
    private var newWidth = 0
    private var newHeight = 0

    /** Of each part of a loop. */
    private val lines = Array(workers.count) { Lines(channels) }

    private val resizeRows = Workers.Rows { part, from, to ->
        for (y in from until to) {
            resizeDown(y, lines[part])
            resizeAcross(lines[part])
            target.write(y, lines[part].result)
        }
    }

    /** Chooses the sizes: from [width] x [height] to [newWidth] x [newHeight] pixels. */
    fun prepare(width: Int, height: Int, newWidth: Int, newHeight: Int) {
        columns = ResizeFilter.of(width, newWidth, resize)
        rows = ResizeFilter.of(height, newHeight, resize)
        this.newWidth = newWidth
        this.newHeight = newHeight
        for (part in lines) part.prepare(maxOf(width, newWidth))
    }

    /** Resizes [picture], which has the old size, and gives each row of the result to [target]. */
    fun run(picture: Picture, target: Target) {
        this.picture = picture
        this.target = target
        workers.run(newHeight, resizeRows)
    }

    /** lines.wide = row [y] of the new height, of the picture's width. */
    private fun resizeDown(y: Int, lines: Lines) {
        val width = picture.width
        for (sum in lines.wide) sum.fill(0f, 0, width)
        for (tap in rows.weights.indices) {
            val weight = rows.weights[tap][y]
            if (weight == 0f) continue
            System.arraycopy(picture.pixels, rows.sources[tap][y] * width, lines.pixels, 0, width)
            RowLoops.split(lines.pixels, width, lines.planes)
            for (channel in 0 until channels) RowLoops.add(lines.planes[channel], weight, width, lines.wide[channel])
        }
    }

    /** lines.result = lines.wide in the new width. */
    private fun resizeAcross(lines: Lines) {
        for (channel in 0 until channels) {
            val sums = lines.result[channel]
            sums.fill(0f, 0, newWidth)
            for (tap in columns.weights.indices) {
                RowLoops.gather(lines.wide[channel], columns.sources[tap], newWidth, lines.gathered)
                RowLoops.add(lines.gathered, columns.weights[tap], newWidth, sums)
            }
        }
    }

    /** Memory of one part of a loop, each as long as a row: see [RowLoops]. */
    private class Lines(channels: Int) {
        var pixels = IntArray(0)
        val planes = Array(channels) { pixels }
        var gathered = FloatArray(0)

        /** A row as wide as the picture, and one of the result. */
        val wide = Array(channels) { gathered }
        val result = Array(channels) { gathered }

        fun prepare(length: Int) {
            if (pixels.size >= length) return
            pixels = IntArray(length)
            gathered = FloatArray(length)
            for (channel in planes.indices) {
                planes[channel] = IntArray(length)
                wide[channel] = FloatArray(length)
                result[channel] = FloatArray(length)
            }
        }
    }
}
