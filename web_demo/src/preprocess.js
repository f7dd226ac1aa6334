/** Pre-processes a picture to graph A's input: resizes, scales, normalises, equal to `host_runtime/preprocess.py`. */

import { resizeFilter } from './resize_filter.js';
import { floats } from './tensor.js';

/**
 * @typedef {{width: number, height: number, data: Uint8ClampedArray | Uint8Array}} Picture
 *   Upright, RGBA with unused alpha, as from a canvas.
 */

const f = Math.fround;

/**
 * @param {Picture} picture
 * @param {import('./manifest.js').Preprocess} spec
 * @returns {import('./tensor.js').Tensor} float32 [1, 3, height, width], red, green, blue
 */
export function preprocess(picture, spec) {
  const columns = resizeColumns(resizeRows(picture, spec), picture.width, spec);
  const { height, width } = spec;
  const plane = height * width;
  const out = new Float32Array(3 * plane);
  // Division by 255, as in to_tensor; multiplying by 1/255 changes the last bit of half of the pixel values.
  const divisor = f(1 / spec.scale);
  for (let channel = 0; channel < 3; channel += 1) {
    const [mean, std] = [f(spec.mean[channel]), f(spec.std[channel])];
    for (let pixel = 0; pixel < plane; pixel += 1) {
      const value = f(f(columns[pixel * 3 + channel] / divisor) - mean) / std;
      out[channel * plane + pixel] = value;
    }
  }
  return floats(out, [1, 3, height, width]);
}

/**
 * Resizes vertically: [picture.height, picture.width] to [spec.height, picture.width], three floats per pixel.
 *
 * @param {Picture} picture
 * @param {import('./manifest.js').Preprocess} spec
 */
function resizeRows(picture, spec) {
  const { width, data } = picture;
  const { taps, sources, weights } = resizeFilter(picture.height, spec.height, spec.resize);
  const out = new Float32Array(spec.height * width * 3);
  for (let row = 0; row < spec.height; row += 1) {
    for (let tap = 0; tap < taps; tap += 1) {
      const weight = weights[row * taps + tap];
      if (weight === 0) continue;
      let at = row * width * 3;
      let from = sources[row * taps + tap] * width * 4;
      for (let column = 0; column < width; column += 1, at += 3, from += 4) {
        out[at] += data[from] * weight;
        out[at + 1] += data[from + 1] * weight;
        out[at + 2] += data[from + 2] * weight;
      }
    }
  }
  return out;
}

/**
 * Resizes horizontally: [spec.height, width] to [spec.height, spec.width], three floats per pixel.
 *
 * @param {Float32Array} rows
 * @param {number} width
 * @param {import('./manifest.js').Preprocess} spec
 */
function resizeColumns(rows, width, spec) {
  const { taps, sources, weights } = resizeFilter(width, spec.width, spec.resize);
  const out = new Float32Array(spec.height * spec.width * 3);
  for (let row = 0; row < spec.height; row += 1) {
    for (let column = 0; column < spec.width; column += 1) {
      const at = (row * spec.width + column) * 3;
      for (let tap = 0; tap < taps; tap += 1) {
        const weight = weights[column * taps + tap];
        const from = (row * width + sources[column * taps + tap]) * 3;
        out[at] += rows[from] * weight;
        out[at + 1] += rows[from + 1] * weight;
        out[at + 2] += rows[from + 2] * weight;
      }
    }
  }
  return out;
}
