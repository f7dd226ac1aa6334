package org.detr2litert.core.host

import org.detr2litert.core.tensor.FloatTensor

/**
 * y = x W^T + b, with x [..., I], W [O, I], b [O].
 *
 * W is turned to [I, O] once, so that the inner loop runs along memory in all operands and the virtual machine can use its
 * vector units (a dot product along I cannot be vectorised without reordering a sum). Four inputs are taken at a time, which
 * reads and writes y a quarter as often. Rows are shared out among the workers. Sums run in float32 in another order than
 * BLAS: equal to about 1e-6 of the terms' size.
 */
internal object Linear {
    fun make(call: OpCall): Made {
        val x = call.float(0)
        val weight = call.float(1)
        val bias = call.floatOrNull(2)
        val inputs = x.shape.lastOrNull()
        val fits = weight.rank == 2 && weight.shape[1] == inputs && (bias == null || bias.shape == weight.shape.take(1))
        if (!fits) call.fail("cannot multiply $x by $weight")
        val outputs = weight.shape[0]
        val y = FloatTensor(x.shape.dropLast(1) + outputs)
        val turned = FloatArray(weight.size)
        val fixed = call.constant[1]
        if (fixed) turn(weight.data, turned, outputs, inputs)
        val body = Workers.Rows { from, to ->
            for (row in from until to) {
                product(x.data, row * inputs, inputs, turned, bias?.data, y.data, row * outputs, outputs)
            }
        }
        return Made(y) {
            if (!fixed) turn(weight.data, turned, outputs, inputs)
            call.workers.run(x.size / inputs, body)
        }
    }

    private fun turn(from: FloatArray, to: FloatArray, rows: Int, columns: Int) {
        for (row in 0 until rows) {
            for (column in 0 until columns) to[column * rows + row] = from[row * columns + column]
        }
    }

    /** One row: y[yAt + o] = bias[o] + sum over i of x[xAt + i] * turned[i * outputs + o]. */
    private fun product(
        x: FloatArray,
        xAt: Int,
        inputs: Int,
        turned: FloatArray,
        bias: FloatArray?,
        y: FloatArray,
        yAt: Int,
        outputs: Int,
    ) {
        if (bias == null) y.fill(0f, yAt, yAt + outputs) else System.arraycopy(bias, 0, y, yAt, outputs)
        var i = 0
        while (i + 4 <= inputs) {
            val a = x[xAt + i]
            val b = x[xAt + i + 1]
            val c = x[xAt + i + 2]
            val d = x[xAt + i + 3]
            val w = i * outputs
            for (o in 0 until outputs) {
                y[yAt + o] += a * turned[w + o] + b * turned[w + outputs + o] +
                    (c * turned[w + 2 * outputs + o] + d * turned[w + 3 * outputs + o])
            }
            i += 4
        }
        while (i < inputs) {
            val a = x[xAt + i]
            for (o in 0 until outputs) y[yAt + o] += a * turned[i * outputs + o]
            i++
        }
    }
}
