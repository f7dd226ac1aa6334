/** Operations that move values and compute none: gather, slice, concat, reshape; and top-k, which says what to gather. */

import { sizeOf, zeros } from '../tensor.js';
import { topkIndices } from '../topk.js';
import { around, frontAxis, promoted } from './broadcast.js';

/** @typedef {import('../tensor.js').Tensor} Tensor */
/** @typedef {Record<string, any>} Attributes */

/**
 * int32 indices of the k largest along `axis`: see `topkIndices`.
 *
 * @param {Tensor[]} inputs
 * @param {Attributes} attributes
 * @returns {Tensor}
 */
export function topk([x], { k, axis: given }) {
  if (x.data instanceof Uint8Array) throw new TypeError('a mask has no largest values');
  const axis = frontAxis(given, x.shape.length);
  const { before, extent, after } = around(x.shape, axis);
  const out = zeros(
    'int32',
    x.shape.map((size, index) => (index === axis ? k : size)),
  );
  const row = x.data.slice(0, extent);
  for (let outer = 0; outer < before; outer += 1) {
    for (let inner = 0; inner < after; inner += 1) {
      for (let index = 0; index < extent; index += 1) row[index] = x.data[(outer * extent + index) * after + inner];
      topkIndices(row, k).forEach((found, place) => {
        out.data[(outer * k + place) * after + inner] = found;
      });
    }
  }
  return out;
}

/**
 * x [B, N, ...] and indices [B, K] -> [B, K, ...] for axis 1 (each batch by its own row); indices [K] serve any axis.
 *
 * @param {Tensor[]} inputs @param {Attributes} attributes @returns {Tensor}
 */
export function gather([x, indices], { axis: given }) {
  if (indices.dtype !== 'int32' && indices.dtype !== 'int64') throw new TypeError(`indices are ${indices.dtype}, not integers`);
  const axis = frontAxis(given, x.shape.length);
  const [rank, count] = [indices.shape.length, indices.shape[indices.shape.length - 1]];
  if (rank !== 1 && (rank !== 2 || indices.shape[0] !== x.shape[0] || axis === 0)) {
    throw new RangeError(`indices of shape [${indices.shape.join(', ')}] do not index axis ${axis} of [${x.shape.join(', ')}]`);
  }
  const { before, extent, after } = around(x.shape, axis);
  if (indices.data.some((index) => index < 0 || index >= extent)) throw new RangeError(`an index is outside 0..${extent - 1}`);
  const out = zeros(
    x.dtype,
    x.shape.map((size, index) => (index === axis ? count : size)),
  );
  const batches = rank === 2 ? x.shape[0] : 1;
  for (let outer = 0; outer < before; outer += 1) {
    const batch = Math.trunc(outer / (before / batches));
    for (let place = 0; place < count; place += 1) {
      const from = (outer * extent + indices.data[batch * count + place]) * after;
      out.data.set(x.data.subarray(from, from + after), (outer * count + place) * after);
    }
  }
  return out;
}

/** x[start:end] along `axis`, by Python's rules. @param {Tensor[]} inputs @param {Attributes} attributes @returns {Tensor} */
export function slice([x], { axis: given, start, end }) {
  const axis = frontAxis(given, x.shape.length);
  const { before, extent, after } = around(x.shape, axis);
  const [first, last] = [start, end].map((at) => {
    if (!Number.isInteger(at)) throw new TypeError('start and end are whole numbers');
    return Math.min(Math.max(at < 0 ? at + extent : at, 0), extent);
  });
  const count = Math.max(last - first, 0);
  const out = zeros(
    x.dtype,
    x.shape.map((size, index) => (index === axis ? count : size)),
  );
  for (let outer = 0; outer < before; outer += 1) {
    const from = (outer * extent + first) * after;
    out.data.set(x.data.subarray(from, from + count * after), outer * count * after);
  }
  return out;
}

/** Joins along `axis`. @param {Tensor[]} inputs @param {Attributes} attributes @returns {Tensor} */
export function concat(inputs, { axis: given }) {
  const [first] = inputs;
  const axis = frontAxis(given, first.shape.length);
  for (const { shape } of inputs) {
    if (shape.length !== first.shape.length || shape.some((extent, index) => index !== axis && extent !== first.shape[index])) {
      throw new RangeError(`shapes differ elsewhere than along axis ${axis}`);
    }
  }
  const total = inputs.reduce((sum, { shape }) => sum + shape[axis], 0);
  const dtype = inputs.map((input) => input.dtype).reduce(promoted);
  const out = zeros(
    dtype,
    first.shape.map((size, index) => (index === axis ? total : size)),
  );
  const { before, after } = around(first.shape, axis);
  let at = 0;
  for (let outer = 0; outer < before; outer += 1) {
    for (const { shape, data } of inputs) {
      const length = shape[axis] * after;
      out.data.set(data.subarray(outer * length, (outer + 1) * length), at);
      at += length;
    }
  }
  return out;
}

/** Row-major reshape; one extent may be -1. @param {Tensor[]} inputs @param {Attributes} attributes @returns {Tensor} */
export function reshape([x], { shape }) {
  if (!Array.isArray(shape) || !shape.every((extent) => Number.isInteger(extent) && extent >= -1))
    throw new TypeError('shape is no list of extents');
  const known = sizeOf(shape.filter((extent) => extent !== -1));
  const full = shape.map((extent) => (extent === -1 ? x.data.length / known : extent));
  if (shape.filter((extent) => extent === -1).length > 1 || !full.every(Number.isInteger) || sizeOf(full) !== x.data.length) {
    throw new RangeError(`${x.data.length} elements do not fill [${shape.join(', ')}]`);
  }
  return { dtype: x.dtype, shape: full, data: x.data };
}
