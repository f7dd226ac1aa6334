import { classColour } from './colours.js';

/** Of a mask, of 255, as in `host_runtime/draw.py`. */
const OPACITY = 110;

/**
 * The masks of detections as one translucent layer, RGBA row by row, 0 where there is no mask, equal to `host_runtime/draw.py`: where
 * masks overlap, the best detection's covers the others. Undefined if there are none, or none of the picture's size.
 *
 * @param {readonly import('./decode.js').Detection[]} detections best first @param {{width: number, height: number}} size
 * @returns {Uint8ClampedArray<ArrayBuffer> | undefined}
 */
export function maskLayer(detections, { width, height }) {
  const masks = detections.flatMap(({ mask, classIndex }) => (mask ? [{ mask, classIndex }] : []));
  const fitting = masks.filter(({ mask }) => mask.width === width && mask.height === height);
  if (!fitting.length) return undefined;
  const layer = new Uint8ClampedArray(width * height * 4);
  const pixels = new Uint32Array(layer.buffer);
  for (const { mask, classIndex } of fitting.toReversed()) {
    const [colour] = new Uint32Array(Uint8Array.of(...classColour(classIndex), OPACITY).buffer);
    mask.forEachSegment((column, from, until) => {
      for (let row = from; row < until; row += 1) pixels[row * width + column] = colour;
    });
  }
  return layer;
}
