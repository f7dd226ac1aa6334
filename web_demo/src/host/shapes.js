/**
 * Output shapes from input shapes and attributes: one function for each shape rule in `host_ops.json`. Types and ranks were
 * checked before. Each throws a RangeError for inputs that the op cannot compute.
 *
 * @typedef {readonly number[]} Shape
 * @typedef {(shapes: Shape[], attributes: Record<string, any>) => number[]} Rule
 */

import { sameShape, sizeOf } from '../tensor.js';
import { broadcastShape, frontAxis } from './broadcast.js';

/** @param {Shape} shape */
const shown = (shape) => `[${shape.join(', ')}]`;

/** @param {Shape} shape @param {number} axis @param {number} extent */
const replaced = (shape, axis, extent) => shape.map((size, index) => (index === axis ? extent : size));

/** Start and end of a slice on an axis of this extent, by Python's rules. @param {number} extent @param {number} start @param {number} end */
export function sliceBounds(extent, start, end) {
  return [start, end].map((at) => Math.min(Math.max(at < 0 ? at + extent : at, 0), extent));
}

/** @type {Record<string, Rule>} */
export const SHAPES = {
  same: ([x]) => [...x],
  clamp([x], { min, max }) {
    if (min === undefined && max === undefined) throw new RangeError('it has neither min nor max');
    return [...x];
  },
  broadcast: broadcastShape,
  topk([x], { k, axis: given }) {
    const axis = frontAxis(given, x.length);
    if (k > x[axis]) throw new RangeError(`cannot select the ${k} largest of ${x[axis]}`);
    return replaced(x, axis, k);
  },
  gather([x, indices], { axis: given }) {
    const axis = frontAxis(given, x.length);
    if (indices.length === 2 && (axis === 0 || indices[0] !== x[0]))
      throw new RangeError(`indices of shape ${shown(indices)} do not index axis ${axis} of ${shown(x)}`);
    return replaced(x, axis, indices[indices.length - 1]);
  },
  linear([x, weight, bias]) {
    if (x[x.length - 1] !== weight[1] || (bias && bias[0] !== weight[0]))
      throw new RangeError(`x ${shown(x)} does not fit the weight ${shown(weight)}${bias ? ` and bias ${shown(bias)}` : ''}`);
    return [...x.slice(0, -1), weight[0]];
  },
  layer_norm([x, ...scales]) {
    if (scales.some((scale) => scale[0] !== x[x.length - 1]))
      throw new RangeError(`${shown(x)} has no ${scales.map(shown).join(' and ')} for its last axis`);
    return [...x];
  },
  slice([x], { axis: given, start, end }) {
    const axis = frontAxis(given, x.length);
    const [first, last] = sliceBounds(x[axis], start, end);
    if (last <= first) throw new RangeError(`nothing of ${x[axis]} lies from ${start} to ${end}`);
    return replaced(x, axis, last - first);
  },
  concat(shapes, { axis: given }) {
    const axis = frontAxis(given, shapes[0].length);
    if (shapes.some((shape) => !sameShape(replaced(shape, axis, 0), replaced(shapes[0], axis, 0))))
      throw new RangeError(`shapes differ elsewhere than along axis ${axis}`);
    return replaced(
      shapes[0],
      axis,
      shapes.reduce((sum, shape) => sum + shape[axis], 0),
    );
  },
  reshape([x], { shape }) {
    const size = sizeOf(x);
    const known = sizeOf(shape.filter((/** @type {number} */ extent) => extent !== -1));
    const free = shape.filter((/** @type {number} */ extent) => extent === -1).length;
    if (free > 1 || known === 0 || size % known !== 0 || (free === 0 && known !== size))
      throw new RangeError(`${size} elements do not fill ${shown(shape)}`);
    return shape.map((/** @type {number} */ extent) => (extent === -1 ? size / known : extent));
  },
};
