package org.detr2litert.core.preprocess

import org.detr2litert.core.Workers

/**
 * Resizes a picture as Pillow 13 resizes 8-bit ones, bit for bit: antialiased, each direction rounded to 8 bits, the rows first
 * where the height shrinks by more than twice what the width does.
 *
 * Source: src/libImaging/Resample.c (`ImagingResample`, `ImagingResampleInner`). A sum of 255 times all weights of a pixel is
 * below 2^31. Rows are distributed among the workers. Allocates only when a size changes. Not thread-safe.
 *
 * @param channels 3 for RGB, 1 for grey.
 */
internal class EightBitResize(private val channels: Int, private val workers: Workers) {
    /**
     * Receives row [y] of the result: [row] holds its pixels as 0x00RRGGBB, grey ones too, and may be longer. Different rows
     * come at the same time from different threads.
     */
    fun interface Target {
        fun write(y: Int, row: IntArray)
    }

    private lateinit var across: FixedPointFilter
    private lateinit var down: FixedPointFilter
    private lateinit var picture: Picture
    private lateinit var target: Target
    private var rowsFirst = false

    /** The picture with its new width and old height, where the columns are resized first. */
    private var narrow = IntArray(0)

    /** Of each part of a loop. */
    private val lines = Array(workers.count) { Lines(channels) }

    private val resizeColumns = Workers.Rows { part, from, to ->
        val lines = lines[part]
        for (y in from until to) {
            resizeAcross(picture.pixels, y * picture.width, lines, lines.result)
            System.arraycopy(lines.result, 0, narrow, y * across.size, across.size)
        }
    }
    private val resizeRows = Workers.Rows { part, from, to ->
        val lines = lines[part]
        for (y in from until to) {
            resizeDown(narrow, across.size, y, lines, lines.result)
            target.write(y, lines.result)
        }
    }
    private val resizeRowsFirst = Workers.Rows { part, from, to ->
        val lines = lines[part]
        for (y in from until to) {
            resizeDown(picture.pixels, picture.width, y, lines, lines.low)
            resizeAcross(lines.low, 0, lines, lines.result)
            target.write(y, lines.result)
        }
    }

    /** Chooses the sizes: from [width] x [height] to [newWidth] x [newHeight] pixels. */
    fun prepare(width: Int, height: Int, newWidth: Int, newHeight: Int) {
        across = FixedPointFilter.of(width, newWidth)
        down = FixedPointFilter.of(height, newHeight)
        val fewer = height - newHeight
        rowsFirst = fewer > 0 && fewer > 2 * (width - newWidth)
        if (!rowsFirst && narrow.size < newWidth * height) narrow = IntArray(newWidth * height)
        for (part in lines) part.prepare(maxOf(newWidth, if (rowsFirst) width else 0))
    }

    /** Resizes [picture], which has the old size, and gives each row of the result to [target]. */
    fun run(picture: Picture, target: Target) {
        this.picture = picture
        this.target = target
        if (rowsFirst) {
            workers.run(down.size, resizeRowsFirst)
        } else {
            workers.run(picture.height, resizeColumns)
            workers.run(down.size, resizeRows)
        }
    }

    /** to = the row that begins at from[start], in the new width. */
    private fun resizeAcross(from: IntArray, start: Int, lines: Lines, to: IntArray) {
        val width = across.size
        lines.clear(width)
        for (tap in across.weights.indices) {
            RowLoops.gather(from, start, across.sources[tap], width, lines.line)
            RowLoops.split(lines.line, width, lines.planes)
            val weights = across.weights[tap]
            for (channel in 0 until channels) RowLoops.add(lines.planes[channel], weights, width, lines.sums[channel])
        }
        lines.join(width, to)
    }

    /** to = row [y] of the new height, from rows of [width] pixels. */
    private fun resizeDown(from: IntArray, width: Int, y: Int, lines: Lines, to: IntArray) {
        lines.clear(width)
        for (tap in down.weights.indices) {
            val weight = down.weights[tap][y]
            if (weight == 0) continue
            System.arraycopy(from, down.sources[tap][y] * width, lines.line, 0, width)
            RowLoops.split(lines.line, width, lines.planes)
            for (channel in 0 until channels) RowLoops.add(lines.planes[channel], weight, width, lines.sums[channel])
        }
        lines.join(width, to)
    }

    /** Memory of one part of a loop, each as long as a row: see [RowLoops]. */
    private class Lines(channels: Int) {
        var line = IntArray(0)
        val planes = Array(channels) { line }
        val sums = Array(channels) { line }

        /** A row of the new height and old width. */
        var low = line
        var result = line

        fun prepare(length: Int) {
            if (line.size >= length) return
            line = IntArray(length)
            for (channel in planes.indices) {
                planes[channel] = IntArray(length)
                sums[channel] = IntArray(length)
            }
            low = IntArray(length)
            result = IntArray(length)
        }

        /** Sets the sums to a half, for rounding. */
        fun clear(length: Int) {
            for (sum in sums) sum.fill(1 shl (FixedPointFilter.PRECISION - 1), 0, length)
        }

        fun join(length: Int, to: IntArray) {
            for (sum in sums) RowLoops.round(sum, length)
            RowLoops.join(sums, length, to)
        }
    }
}
