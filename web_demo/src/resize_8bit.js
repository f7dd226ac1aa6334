/**
 * Resizes a picture as Pillow 13 resizes 8-bit ones, bit for bit: antialiased, each direction rounded to 8 bits, the rows first
 * where the height shrinks by more than twice what the width does. Source: src/libImaging/Resample.c (precompute_coeffs,
 * normalize_coeffs_8bpc, ImagingResampleInner). Weights are computed in float64 and rounded to fixed point; a sum of 255 times
 * all weights of a pixel is below 2^31.
 *
 * @typedef {import('./preprocess.js').Pixels} Bytes values from 0 to 255
 * @typedef {Bytes & {data: Uint8Array<ArrayBuffer>}} Resized
 * @typedef {{taps: number, first: Int32Array, counts: Int32Array, weights: Int32Array}} FixedPointFilter
 *   out[i] = sum over t below counts[i] of weights[i * taps + t] * in[first[i] + t], in units of 2^-22
 */

/** Fraction bits of the weights: Pillow's PRECISION_BITS, 32 - 8 - 2. */
const PRECISION = 22;
const HALF = 1 << (PRECISION - 1);

/**
 * @param {import('./preprocess.js').Pixels} pixels
 * @param {{width: number, height: number}} size
 * @returns {Uint8Array<ArrayBuffer>} [height, width, pixels.count]
 */
export function resize8bit(pixels, { width, height }) {
  const fewer = pixels.height - height;
  const rowsFirst = fewer > 0 && fewer > 2 * (pixels.width - width);
  const once = rowsFirst ? resizeRows(pixels, height) : resizeColumns(pixels, width);
  return (rowsFirst ? resizeColumns(once, width) : resizeRows(once, height)).data;
}

/** @param {Bytes} pixels @param {number} width @returns {Resized} */
function resizeColumns({ width: old, height, count, data, step }, width) {
  const out = new Uint8Array(height * width * count);
  const filter = fixedPointFilter(old, width);
  for (let row = 0, to = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1, to += count) {
      const from = (row * old + filter.first[column]) * step;
      for (let channel = 0; channel < count; channel += 1) {
        out[to + channel] = weighted(filter, column, data, from + channel, step);
      }
    }
  }
  return { width, height, count, data: out, step: count };
}

/** @param {Bytes} pixels @param {number} height @returns {Resized} */
function resizeRows({ width, height: old, count, data, step }, height) {
  const out = new Uint8Array(height * width * count);
  const filter = fixedPointFilter(old, height);
  for (let row = 0, to = 0; row < height; row += 1) {
    const start = filter.first[row] * width * step;
    for (let column = 0; column < width; column += 1, to += count) {
      const from = start + column * step;
      for (let channel = 0; channel < count; channel += 1) {
        out[to + channel] = weighted(filter, row, data, from + channel, width * step);
      }
    }
  }
  return { width, height, count, data: out, step: count };
}

/**
 * One value of the result, rounded to 8 bits.
 *
 * @param {FixedPointFilter} filter @param {number} index of the value
 * @param {ArrayLike<number>} values @param {number} from place of the first @param {number} stride to the next
 */
function weighted({ taps, counts, weights }, index, values, from, stride) {
  let sum = HALF;
  for (let tap = 0; tap < counts[index]; tap += 1) sum += values[from + tap * stride] * weights[index * taps + tap];
  return Math.min(sum >> PRECISION, 255);
}

/**
 * A triangle as wide as the scale. For equal lengths one weight is 1 and its neighbour's 0, so that values are copied.
 *
 * @param {number} from @param {number} to @returns {FixedPointFilter}
 */
function fixedPointFilter(from, to) {
  const scale = from / to;
  const support = Math.max(scale, 1);
  const inverse = 1 / support;
  const taps = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(to);
  const counts = new Int32Array(to);
  const weights = new Int32Array(to * taps);
  const near = new Float64Array(taps);
  for (let out = 0; out < to; out += 1) {
    const centre = (out + 0.5) * scale;
    first[out] = Math.max(Math.trunc(centre - support + 0.5), 0);
    counts[out] = Math.min(Math.trunc(centre + support + 0.5), from) - first[out];
    let sum = 0;
    for (let tap = 0; tap < counts[out]; tap += 1) {
      near[tap] = Math.max(1 - Math.abs((tap + first[out] - centre + 0.5) * inverse), 0);
      sum += near[tap];
    }
    for (let tap = 0; tap < counts[out]; tap += 1) {
      weights[out * taps + tap] = Math.trunc(0.5 + (near[tap] / sum) * 2 ** PRECISION);
    }
  }
  return { taps, first, counts, weights };
}
