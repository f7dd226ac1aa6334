/** Elementwise ops in float32: results are rounded when stored. */

import { zeros } from '../tensor.js';
import { broadcastOffsets } from './broadcast.js';
import { gelu, geluTanh } from './gelu.js';

/** @typedef {import('./host_step.js').Kernel} Kernel */

/** 1 / (1 + exp(-x)), rounded to float32 after every step like NumPy, since ties of scores depend on it. @param {number} x */
export function sigmoid(x) {
  return Math.fround(1 / Math.fround(1 + Math.fround(Math.exp(-x))));
}

/** @param {(x: number) => number} of @returns {Kernel} */
export function unary(of) {
  return ([x], _attributes, shape) => {
    const out = zeros('float32', shape);
    for (let index = 0; index < out.data.length; index += 1) out.data[index] = of(x.data[index]);
    return out;
  };
}

/** @type {Kernel} */
export function geluOp(inputs, attributes, shape) {
  return unary(attributes.approximate === 'tanh' ? geluTanh : gelu)(inputs, attributes, shape);
}

/** Limits x to [min, max]; NaN stays. @type {Kernel} */
export function clamp(inputs, attributes, shape) {
  const { min = -Infinity, max = Infinity } = attributes;
  return unary((value) => Math.min(Math.max(value, min), max))(inputs, attributes, shape);
}

/** @param {(x: number, y: number) => number} of @returns {Kernel} */
export function binary(of) {
  return ([x, y], _attributes, shape) => {
    const [atX, atY] = [broadcastOffsets(x.shape, shape), broadcastOffsets(y.shape, shape)];
    const out = zeros('float32', shape);
    for (let index = 0; index < out.data.length; index += 1) out.data[index] = of(x.data[atX[index]], y.data[atY[index]]);
    return out;
  };
}
