/**
 * Pre-processes a picture to graph A's input, equal to `host_runtime/preprocess.py`: resizes and pads, then scales and normalises,
 * or leaves that to a graph that takes the pixels.
 */

import { place } from './placement.js';
import { resize8bit } from './resize_8bit.js';
import { resizeFilter } from './resize_filter.js';
import { floats } from './tensor.js';

/**
 * @typedef {import('./manifest.js').Preprocess} Preprocess
 * @typedef {import('./tensor.js').Tensor} Tensor
 * @typedef {{width: number, height: number, data: Uint8ClampedArray | Uint8Array}} Picture
 *   Upright, RGBA with unused alpha, as from a canvas.
 * @typedef {{width: number, height: number, count: number, data: ArrayLike<number>, step: number}} Pixels
 *   count: channels in use, of `step` values for each pixel
 */

const f = Math.fround;

/** How many channels the input has. @param {Preprocess} spec */
export function channelsOf({ channels }) {
  return channels === 'L' ? 1 : 3;
}

/** Whether the resized and padded picture is of whole numbers from 0 to 255, before it is scaled. @param {Preprocess} spec */
export function inWholePixels({ resize: kind, fill = [] }) {
  return kind === 'bilinear_8bit' && fill.every((value) => Number.isInteger(value) && value >= 0 && value <= 255);
}

/**
 * The input of a graph that takes normalised floats.
 *
 * @param {Picture} picture
 * @param {Preprocess} spec
 * @returns {Tensor} float32 [1, channels, height, width]: red, green, blue, or grey
 */
export function preprocess(picture, spec) {
  const values = fitted(picture, spec);
  const { height, width } = spec;
  const count = channelsOf(spec);
  const plane = height * width;
  const out = new Float32Array(count * plane);
  // Division by 255, as in to_tensor; multiplying by 1/255 changes the last bit of half of the pixel values.
  const divisor = f(1 / spec.scale);
  for (let channel = 0; channel < count; channel += 1) {
    const [mean, std] = [f(spec.mean[channel]), f(spec.std[channel])];
    const to = channel * plane;
    for (let pixel = 0; pixel < plane; pixel += 1) {
      out[to + pixel] = f(f(values[pixel * count + channel] / divisor) - mean) / std;
    }
  }
  return floats(out, [1, count, height, width]);
}

/**
 * The input of a graph that takes the resized picture's pixels and normalises them itself: a quarter of the bytes.
 *
 * @param {Picture} picture
 * @param {Preprocess} spec
 * @returns {Tensor} uint8 [1, height, width, channels]: red, green, blue, or grey
 * @throws {RangeError} the pixels are not whole numbers, which the manifest's check refuses.
 */
export function pixelsOf(picture, spec) {
  const values = fitted(picture, spec);
  if (!(values instanceof Uint8Array)) throw new RangeError('the pre-processing gives no whole pixels');
  return { dtype: 'uint8', shape: [1, spec.height, spec.width, channelsOf(spec)], data: values };
}

/**
 * Resizes a picture and pads it to the input's size.
 *
 * @param {Picture} picture
 * @param {Preprocess} spec
 * @returns {Uint8Array<ArrayBuffer> | Float32Array} [height, width, channels], from 0 to 255; a Uint8Array where all are whole numbers
 */
function fitted(picture, spec) {
  const pixels = spec.channels === 'L' ? grey(picture) : colour(picture);
  const placed = place(picture, spec);
  const resized = spec.resize === 'bilinear_8bit' ? resize8bit(pixels, placed) : resize(pixels, placed, spec.resize);
  if (!placed.pads) return resized;
  const { height, width, fill = [] } = spec;
  const { count } = pixels;
  const out = new (inWholePixels(spec) ? Uint8Array : Float32Array)(height * width * count);
  for (let at = 0; at < out.length; at += 1) out[at] = fill[at % count];
  const row = placed.width * count;
  for (let from = 0, to = (placed.top * width + placed.left) * count; from < resized.length; from += row, to += width * count) {
    out.set(resized.subarray(from, from + row), to);
  }
  return out;
}

/** The picture's own values; a canvas's ImageData cannot be spread. @param {Picture} picture @returns {Pixels} */
function colour({ width, height, data }) {
  return { width, height, count: 3, data, step: 4 };
}

/** ITU-R 601 luma in 16.16 fixed point, as Pillow's convert("L"). @param {Picture} picture @returns {Pixels} */
function grey({ width, height, data }) {
  const levels = new Uint8Array(width * height);
  for (let pixel = 0, at = 0; pixel < levels.length; pixel += 1, at += 4) {
    levels[pixel] = (data[at] * 19595 + data[at + 1] * 38470 + data[at + 2] * 7471 + 0x8000) >> 16;
  }
  return { width, height, count: 1, data: levels, step: 1 };
}

/**
 * Resizes in float32: vertically, then horizontally.
 *
 * @param {Pixels} pixels
 * @param {import('./placement.js').Placement} placed
 * @param {import('./resize_filter.js').Kind} kind
 */
function resize(pixels, placed, kind) {
  return resizeColumns(resizeRows(pixels, placed.height, kind), pixels, placed, kind);
}

/**
 * Resizes vertically: [pixels.height, pixels.width] to [height, pixels.width], `count` floats per pixel.
 *
 * @param {Pixels} pixels
 * @param {number} height
 * @param {import('./resize_filter.js').Kind} kind
 */
function resizeRows(pixels, height, kind) {
  const { width, data, count, step } = pixels;
  const { taps, sources, weights } = resizeFilter(pixels.height, height, kind);
  const out = new Float32Array(height * width * count);
  for (let row = 0; row < height; row += 1) {
    for (let tap = 0; tap < taps; tap += 1) {
      const weight = weights[row * taps + tap];
      if (weight === 0) continue;
      let at = row * width * count;
      let from = sources[row * taps + tap] * width * step;
      for (let column = 0; column < width; column += 1, at += count, from += step) {
        for (let channel = 0; channel < count; channel += 1) out[at + channel] += data[from + channel] * weight;
      }
    }
  }
  return out;
}

/**
 * Resizes horizontally: [placed.height, width] to [placed.height, placed.width], `count` floats per pixel.
 *
 * @param {Float32Array} rows
 * @param {Pixels} pixels
 * @param {import('./placement.js').Placement} placed
 * @param {import('./resize_filter.js').Kind} kind
 */
function resizeColumns(rows, { width, count }, placed, kind) {
  const { taps, sources, weights } = resizeFilter(width, placed.width, kind);
  const out = new Float32Array(placed.height * placed.width * count);
  for (let row = 0; row < placed.height; row += 1) {
    for (let column = 0; column < placed.width; column += 1) {
      const at = (row * placed.width + column) * count;
      for (let tap = 0; tap < taps; tap += 1) {
        const weight = weights[column * taps + tap];
        const from = (row * width + sources[column * taps + tap]) * count;
        for (let channel = 0; channel < count; channel += 1) out[at + channel] += rows[from + channel] * weight;
      }
    }
  }
  return out;
}
