/** Operations on one element at a time. Results are rounded to float32 when they are stored. */

import { zeros } from '../tensor.js';
import { broadcastOffsets, broadcastShape, promoted } from './broadcast.js';
import { gelu, geluTanh } from './gelu.js';

/** @typedef {import('../tensor.js').Tensor} Tensor */
/** @typedef {import('../tensor.js').DType} DType */
/** @typedef {Record<string, any>} Attributes */

/** 1 / (1 + exp(-x)), rounded to float32 after every step as NumPy does: which scores tie depends on it. @param {number} x */
export function sigmoid(x) {
  return Math.fround(1 / Math.fround(1 + Math.fround(Math.exp(-x))));
}

/** @param {(x: number) => number} of */
export function unary(of) {
  return (/** @type {Tensor[]} */ [x]) => mapped(x, 'float32', of);
}

/** max(x, 0), in x's own type. @param {Tensor[]} inputs */
export function relu([x]) {
  return mapped(x, x.dtype === 'bool' ? 'int32' : x.dtype, (value) => Math.max(value, 0));
}

/** @param {Tensor[]} inputs @param {Attributes} attributes */
export function geluOp([x], { approximate = 'none' }) {
  if (approximate !== 'none' && approximate !== 'tanh')
    throw new RangeError(`approximate is '${approximate}', not 'none' or 'tanh'`);
  return mapped(x, 'float32', approximate === 'none' ? gelu : geluTanh);
}

/** Limits x to [min, max]; NaN stays. @param {Tensor[]} inputs @param {Attributes} attributes */
export function clamp([x], { min, max }) {
  const [low, high] = [min ?? -Infinity, max ?? Infinity];
  if (typeof low !== 'number' || typeof high !== 'number') throw new TypeError('min and max are numbers');
  const whole = [min, max].every((limit) => limit === undefined || limit === null || Number.isInteger(limit));
  return mapped(x, x.dtype === 'float32' || !whole ? 'float32' : x.dtype, (value) => Math.min(Math.max(value, low), high));
}

/** @param {(x: number, y: number) => number} of @param {{divides?: boolean}} [options] division leaves the integers */
export function binary(of, { divides = false } = {}) {
  return (/** @type {Tensor[]} */ [x, y]) => {
    if (x.dtype === 'bool' && y.dtype === 'bool') throw new TypeError('both are masks, not numbers');
    const shape = broadcastShape([x.shape, y.shape]);
    const [atX, atY] = [broadcastOffsets(x.shape, shape), broadcastOffsets(y.shape, shape)];
    const out = zeros(divides ? 'float32' : promoted(x.dtype, y.dtype), shape);
    for (let index = 0; index < out.data.length; index += 1) out.data[index] = of(x.data[atX[index]], y.data[atY[index]]);
    return out;
  };
}

/** x where mask is not 0, else y. @param {Tensor[]} inputs */
export function where([mask, x, y]) {
  const shape = broadcastShape([mask.shape, x.shape, y.shape]);
  const [atMask, atX, atY] = [mask, x, y].map((tensor) => broadcastOffsets(tensor.shape, shape));
  const out = zeros(promoted(x.dtype, y.dtype), shape);
  // NaN is not 0, as in NumPy's conversion to bool.
  for (let index = 0; index < out.data.length; index += 1) {
    out.data[index] = mask.data[atMask[index]] !== 0 ? x.data[atX[index]] : y.data[atY[index]];
  }
  return out;
}

/** @param {Tensor} x @param {DType} dtype @param {(x: number) => number} of @returns {Tensor} */
function mapped(x, dtype, of) {
  const out = zeros(dtype, x.shape);
  for (let index = 0; index < out.data.length; index += 1) out.data[index] = of(x.data[index]);
  return out;
}
