/** Ops along the last axis: linear and layer norm. Sums are computed in float64 and rounded once. */

import { floats } from '../tensor.js';

/** @typedef {import('./host_step.js').Kernel} Kernel */

/** y = x W^T + b, with x [..., I], W [O, I], b [O]. @type {Kernel} */
export function linear([x, weight, bias], _attributes, shape) {
  const [outputs, inner] = weight.shape;
  const rows = x.data.length / inner;
  const out = new Float32Array(rows * outputs);
  for (let row = 0; row < rows; row += 1) {
    for (let output = 0; output < outputs; output += 1) {
      let sum = 0;
      for (let index = 0; index < inner; index += 1) sum += x.data[row * inner + index] * weight.data[output * inner + index];
      out[row * outputs + output] = bias ? Math.fround(sum) + bias.data[output] : sum;
    }
  }
  return floats(out, shape);
}

/** (x - mean) / sqrt(variance + eps) * weight + bias over the last axis. @type {Kernel} */
export function layerNorm([x, weight, bias], { eps }, shape) {
  const inner = shape[shape.length - 1];
  const out = new Float32Array(x.data.length);
  for (let start = 0; start < out.length; start += inner) {
    let mean = 0;
    for (let index = 0; index < inner; index += 1) mean += x.data[start + index];
    mean /= inner;
    let variance = 0;
    for (let index = 0; index < inner; index += 1) variance += (x.data[start + index] - mean) ** 2;
    const scale = 1 / Math.sqrt(variance / inner + eps);
    for (let index = 0; index < inner; index += 1) {
      out[start + index] = (x.data[start + index] - mean) * scale * (weight?.data[index] ?? 1) + (bias?.data[index] ?? 0);
    }
  }
  return floats(out, shape);
}
