/** Operations along an axis: linear layers, layer norm, the largest value. Sums are taken in float64 and rounded once. */

import { floats, sizeOf, zeros } from '../tensor.js';
import { around, frontAxis } from './broadcast.js';

/** @typedef {import('../tensor.js').Tensor} Tensor */
/** @typedef {Record<string, any>} Attributes */

/** y = x W^T + b, with x [..., I], W [O, I], b [O]. @param {Tensor[]} inputs @returns {Tensor} */
export function linear([x, weight, bias]) {
  const [outputs, inner] = weight.shape;
  if (weight.shape.length !== 2 || x.shape.at(-1) !== inner) {
    throw new RangeError(`cannot multiply [${x.shape.join(', ')}] by the transpose of [${weight.shape.join(', ')}]`);
  }
  if (bias && (bias.shape.length !== 1 || bias.shape[0] !== outputs))
    throw new RangeError(`the bias has no ${outputs} elements`);
  const rows = x.data.length / inner;
  const out = new Float32Array(rows * outputs);
  for (let row = 0; row < rows; row += 1) {
    for (let output = 0; output < outputs; output += 1) {
      let sum = 0;
      for (let index = 0; index < inner; index += 1) sum += x.data[row * inner + index] * weight.data[output * inner + index];
      out[row * outputs + output] = bias ? Math.fround(sum) + bias.data[output] : sum;
    }
  }
  return floats(out, [...x.shape.slice(0, -1), outputs]);
}

/**
 * (x - mean) / sqrt(variance + eps) * weight + bias over the last axis.
 *
 * @param {Tensor[]} inputs
 * @param {Attributes} attributes
 * @returns {Tensor}
 */
export function layerNorm([x, weight, bias], { eps }) {
  const inner = x.shape.at(-1) ?? 0;
  for (const scale of [weight, bias]) {
    if (scale && (scale.shape.length !== 1 || scale.shape[0] !== inner))
      throw new RangeError(`cannot scale [${x.shape.join(', ')}] by [${scale.shape.join(', ')}]`);
  }
  if (typeof eps !== 'number') throw new TypeError('eps is no number');
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
  return floats(out, x.shape);
}

/** The largest value along `axis`; NaN wins. @param {Tensor[]} inputs @param {Attributes} attributes @returns {Tensor} */
export function reduceMax([x], { axis: given, keepdims = false }) {
  const axis = frontAxis(given, x.shape.length);
  const { extent, after } = around(x.shape, axis);
  if (extent === 0) throw new RangeError('there is nothing to take the largest of');
  const shape = keepdims
    ? x.shape.map((size, index) => (index === axis ? 1 : size))
    : x.shape.filter((_, index) => index !== axis);
  const out = zeros(x.dtype, shape);
  for (let at = 0; at < sizeOf(shape); at += 1) {
    const [outer, inner] = [Math.trunc(at / after), at % after];
    let most = x.data[outer * extent * after + inner];
    for (let index = 1; index < extent; index += 1) most = Math.max(most, x.data[(outer * extent + index) * after + inner]);
    out.data[at] = most;
  }
  return out;
}
