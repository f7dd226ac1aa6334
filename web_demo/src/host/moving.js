/** Ops that only move values (gather, slice, concat, reshape), and top-k, whose indices they use. */

import { zeros } from '../tensor.js';
import { topkIndices } from '../topk.js';
import { around, frontAxis } from './broadcast.js';
import { sliceBounds } from './shapes.js';

/** @typedef {import('./host_step.js').Kernel} Kernel */

/** int32 indices of the k largest along `axis`: see `topkIndices`. @type {Kernel} */
export function topk([x], { k, axis: given }, shape) {
  const { before, extent, after } = around(x.shape, frontAxis(given, x.shape.length));
  const out = zeros('int32', shape);
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
 * @type {Kernel}
 */
export function gather([x, indices], { axis: given }, shape) {
  const { before, extent, after } = around(x.shape, frontAxis(given, x.shape.length));
  if (indices.data.some((index) => index < 0 || index >= extent)) throw new RangeError(`an index is outside 0..${extent - 1}`);
  const out = zeros('float32', shape);
  const count = indices.shape[indices.shape.length - 1];
  const batches = indices.shape.length === 2 ? x.shape[0] : 1;
  for (let outer = 0; outer < before; outer += 1) {
    const batch = Math.trunc(outer / (before / batches));
    for (let place = 0; place < count; place += 1) {
      const from = (outer * extent + indices.data[batch * count + place]) * after;
      out.data.set(x.data.subarray(from, from + after), (outer * count + place) * after);
    }
  }
  return out;
}

/** x[start:end] along `axis`, by Python's rules. @type {Kernel} */
export function slice([x], { axis: given, start, end }, shape) {
  const { before, extent, after } = around(x.shape, frontAxis(given, x.shape.length));
  const [first, last] = sliceBounds(extent, start, end);
  const out = zeros('float32', shape);
  for (let outer = 0; outer < before; outer += 1) {
    const from = (outer * extent + first) * after;
    out.data.set(x.data.subarray(from, (outer * extent + last) * after), outer * (last - first) * after);
  }
  return out;
}

/** Joins along `axis`. @type {Kernel} */
export function concat(inputs, { axis: given }, shape) {
  const axis = frontAxis(given, shape.length);
  const out = zeros('float32', shape);
  const { before, after } = around(shape, axis);
  let at = 0;
  for (let outer = 0; outer < before; outer += 1) {
    for (const input of inputs) {
      const length = input.shape[axis] * after;
      out.data.set(input.data.subarray(outer * length, (outer + 1) * length), at);
      at += length;
    }
  }
  return out;
}

/** The same elements, row-major, in the shape computed by its rule. @type {Kernel} */
export function reshape([x], _attributes, shape) {
  return { dtype: x.dtype, shape, data: x.data };
}
