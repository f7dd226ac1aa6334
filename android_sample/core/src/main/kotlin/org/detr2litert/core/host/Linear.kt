package org.detr2litert.core.host

import org.detr2litert.core.tensor.FloatTensor

/**
 * y = x W^T + b, with x [..., I], W [O, I], b [O].
 *
 * W is turned to I rows of O once, and a row of y is summed up in an array of its own, so that the inner loop runs along all
 * its arrays with one index and the virtual machine can use its vector units (a dot product along I cannot be vectorised
 * without reordering a sum). Four inputs are taken at a time, which reads and writes the sums a quarter as often. Rows are
 * shared out among the workers. Measured on one shared x86 core with HotSpot 17: RF-DETR Nano's whole host step takes 10 ms
 * so, and 38 ms with offsets into one array for W and y.
 *
 * Sums run in float32 in another order than BLAS: equal to about 1e-6 of the terms' size.
 */
internal object Linear {
    fun make(call: OpCall): Made {
        val x = call.float(0)
        val weight = call.float(1)
        val bias = call.floatOrNull(2)
        val inputs = x.shape.last()
        val fits = weight.shape[1] == inputs && (bias == null || bias.shape == weight.shape.take(1))
        if (!fits) call.fail("cannot multiply $x by $weight")
        val outputs = weight.shape[0]
        val y = FloatTensor(call.shaped(x.shape.dropLast(1) + outputs))
        val turned = Array(inputs) { FloatArray(outputs) }
        val fixed = call.constant[1]
        if (fixed) turn(weight.data, turned)
        val sums = Array(call.workers.count) { FloatArray(outputs) }
        val body = Workers.Rows { part, from, to ->
            for (row in from until to) {
                if (bias == null) sums[part].fill(0f) else System.arraycopy(bias.data, 0, sums[part], 0, outputs)
                addProduct(x.data, row * inputs, turned, sums[part])
                System.arraycopy(sums[part], 0, y.data, row * outputs, outputs)
            }
        }
        return Made(y) {
            if (!fixed) turn(weight.data, turned)
            call.workers.run(x.size / inputs, body)
        }
    }

    private fun turn(from: FloatArray, to: Array<FloatArray>) {
        for (input in to.indices) {
            for (output in to[input].indices) to[input][output] = from[output * to.size + input]
        }
    }

    /** sums[o] += sum over i of x[at + i] * turned[i][o]. */
    private fun addProduct(x: FloatArray, at: Int, turned: Array<FloatArray>, sums: FloatArray) {
        var i = 0
        while (i + 4 <= turned.size) {
            addFour(
                sums, x[at + i], turned[i], x[at + i + 1], turned[i + 1], x[at + i + 2], turned[i + 2], x[at + i + 3],
                turned[
                    i +
                        3,
                ],
            )
            i += 4
        }
        while (i < turned.size) {
            val row = turned[i]
            val a = x[at + i]
            for (o in sums.indices) sums[o] += a * row[o]
            i++
        }
    }

    /** A loop of its own, small enough to be compiled well. */
    private fun addFour(
        sums: FloatArray,
        a: Float,
        rowA: FloatArray,
        b: Float,
        rowB: FloatArray,
        c: Float,
        rowC: FloatArray,
        d: Float,
        rowD: FloatArray,
    ) {
        for (o in sums.indices) sums[o] += (a * rowA[o] + b * rowB[o]) + (c * rowC[o] + d * rowD[o])
    }
}
