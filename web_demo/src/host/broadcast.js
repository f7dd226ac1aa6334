/** NumPy's broadcasting: shapes are aligned at their ends, and an extent of 1 is repeated. */

import { sizeOf } from '../tensor.js';

/** The shape that all shapes broadcast to. @param {(readonly number[])[]} shapes @returns {number[]} */
export function broadcastShape(shapes) {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const extents = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1).filter((extent) => extent !== 1);
    if (extents.some((extent) => extent !== extents[0])) {
      throw new RangeError(`shapes ${shapes.map((shape) => `[${shape.join(', ')}]`).join(' and ')} do not broadcast`);
    }
    return extents[0] ?? 1;
  });
}

/**
 * For every element of a tensor of shape `shape`, row-major, the index of its source in a tensor of shape `own`.
 *
 * @param {readonly number[]} own @param {readonly number[]} shape @returns {Int32Array}
 */
export function broadcastOffsets(own, shape) {
  const size = sizeOf(shape);
  const offsets = new Int32Array(size);
  let stride = 1;
  let repeat = 1;
  for (let back = 1; back <= shape.length; back += 1) {
    const extent = own[own.length - back] ?? 1;
    const outer = shape[shape.length - back];
    if (extent !== 1) {
      for (let at = 0; at < size; at += 1) offsets[at] += (Math.trunc(at / repeat) % outer) * stride;
    }
    stride *= extent;
    repeat *= outer;
  }
  return offsets;
}

/**
 * Splits a shape at an axis: the product before, the extent, the product after.
 *
 * @param {readonly number[]} shape
 * @param {number} axis
 */
export function around(shape, axis) {
  return { before: sizeOf(shape.slice(0, axis)), extent: shape[axis], after: sizeOf(shape.slice(axis + 1)) };
}

/** An axis counted from the front. @param {number} axis @param {number} rank */
export function frontAxis(axis, rank) {
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank)
    throw new RangeError(`axis = ${axis} is not one of rank ${rank}`);
  return axis < 0 ? axis + rank : axis;
}
