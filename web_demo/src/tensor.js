/**
 * Tensors: row-major, rank 4 at most, as the manifest declares them; uint8 is of a picture's pixels alone.
 *
 * @typedef {'float32' | 'int32' | 'uint8'} DType
 * @typedef {Float32Array | Int32Array | Uint8Array<ArrayBuffer>} Values of the dtype, see `ARRAYS`
 * @typedef {{dtype: DType, shape: readonly number[], data: Values}} Tensor
 * @typedef {{name: string, shape: number[], dtype: DType}} TensorSpec
 */

/** The array that holds the values of each dtype. */
export const ARRAYS = Object.freeze({ float32: Float32Array, int32: Int32Array, uint8: Uint8Array });

/** The number of elements of a shape. @param {readonly number[]} shape */
export function sizeOf(shape) {
  return shape.reduce((product, extent) => product * extent, 1);
}

/** Creates a zeroed tensor. @param {DType} dtype @param {readonly number[]} shape @returns {Tensor} */
export function zeros(dtype, shape) {
  return { dtype, shape: [...shape], data: new ARRAYS[dtype](sizeOf(shape)) };
}

/** @param {Float32Array} data @param {readonly number[]} shape @returns {Tensor} */
export function floats(data, shape) {
  return { dtype: 'float32', shape: [...shape], data };
}

/** @param {readonly number[]} one @param {readonly number[]} other */
export function sameShape(one, other) {
  return one.length === other.length && one.every((extent, axis) => extent === other[axis]);
}

/** `float32[1, 3, 8, 8]`, for messages. @param {{dtype: DType, shape: readonly number[]}} tensor */
export function describe(tensor) {
  return `${tensor.dtype}[${tensor.shape.join(', ')}]`;
}

/** Whether a tensor has the dtype and shape of its spec. @param {Tensor} tensor @param {{dtype: DType, shape: readonly number[]}} spec */
export function fits(tensor, spec) {
  return tensor.dtype === spec.dtype && sameShape(tensor.shape, spec.shape);
}
