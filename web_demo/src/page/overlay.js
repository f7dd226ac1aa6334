/** Draws masks, boxes and labels over a picture, legible on any background and at any size: `host_runtime/draw.py` on a canvas. */

import { classColour, luma } from '../colours.js';

/** @typedef {import('../decode.js').Detection} Detection */
/** @typedef {{left: number, top: number, width: number, height: number}} Place */

/** Small pictures are enlarged to this many CSS pixels on the long side. */
const LONG_SIDE = 640;
/** Of a mask, of 255, as in `host_runtime/draw.py`. */
const OPACITY = 110;

/**
 * Draws a picture undistorted at the available width, with its detections, the best ones last and on top; their masks as
 * translucent areas below all boxes.
 *
 * @param {HTMLCanvasElement} canvas @param {ImageBitmap} bitmap @param {readonly Detection[]} detections best first
 */
export function drawOverlay(canvas, bitmap, detections) {
  const room = canvas.parentElement?.clientWidth || LONG_SIDE;
  const long = Math.max(bitmap.width, bitmap.height);
  const scale = Math.min(room / bitmap.width, Math.max(LONG_SIDE / long, Math.min(1, 1280 / long)));
  const dense = Math.min(globalThis.devicePixelRatio || 1, 3);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  canvas.width = Math.max(1, Math.round(width * dense));
  canvas.height = Math.max(1, Math.round(height * dense));
  canvas.style.width = `${width}px`;
  canvas.style.aspectRatio = `${bitmap.width} / ${bitmap.height}`;
  const context = canvas.getContext('2d');
  if (!context) return;
  context.setTransform(dense, 0, 0, dense, 0, 0);
  context.drawImage(bitmap, 0, 0, width, height);
  const layer = maskLayer(detections, bitmap);
  if (layer) context.drawImage(layer, 0, 0, width, height);

  const places = labelPlaces(context, detections, scale, width, height);
  for (const item of detections.toReversed()) drawBox(context, item, scale);
  for (const item of detections.toReversed()) drawLabel(context, item, places.get(item));
}

/**
 * The masks as one translucent picture; undefined if there are none, or none of the picture's size.
 *
 * @param {readonly Detection[]} detections best first @param {{width: number, height: number}} size
 */
function maskLayer(detections, { width, height }) {
  const masks = detections.flatMap(({ mask, classIndex }) => (mask ? [{ mask, classIndex }] : []));
  const fitting = masks.filter(({ mask }) => mask.width === width && mask.height === height);
  if (!fitting.length) return undefined;
  const layer = new OffscreenCanvas(width, height);
  const context = layer.getContext('2d');
  if (!context) return undefined;
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (const { mask, classIndex } of fitting.toReversed()) {
    const [colour] = new Uint32Array(Uint8Array.of(...classColour(classIndex), OPACITY).buffer);
    mask.forEachSegment((column, from, until) => {
      for (let row = from; row < until; row += 1) pixels[row * width + column] = colour;
    });
  }
  context.putImageData(image, 0, 0);
  return layer;
}

/** @param {CanvasRenderingContext2D} context @param {Detection} item @param {number} scale */
function drawBox(context, item, scale) {
  const [left, top, right, bottom] = item.box.map((edge) => edge * scale);
  // A dark edge on both sides of the coloured line.
  for (const [line, colour] of /** @type {[number, string][]} */ ([
    [5, 'rgb(0 0 0 / .75)'],
    [2.5, css(item)],
  ])) {
    context.lineWidth = line;
    context.strokeStyle = colour;
    context.strokeRect(left + 2.5, top + 2.5, Math.max(right - left - 5, 0), Math.max(bottom - top - 5, 0));
  }
}

/**
 * Places labels: above the box, else inside its top, else below, at the first position that overlaps no earlier label.
 *
 * @param {CanvasRenderingContext2D} context @param {readonly Detection[]} detections @param {number} scale
 * @param {number} width @param {number} height @returns {Map<Detection, Place>}
 */
function labelPlaces(context, detections, scale, width, height) {
  context.font = '600 14px system-ui, "DejaVu Sans", sans-serif';
  /** @type {Map<Detection, Place>} */
  const placed = new Map();
  for (const item of detections) {
    const size = { width: context.measureText(textOf(item)).width + 12, height: 22 };
    const left = Math.max(0, Math.min(item.box[0] * scale, width - size.width));
    const choices = [item.box[1] * scale - size.height, item.box[1] * scale, item.box[3] * scale].map((top) => ({
      left,
      top: Math.max(0, Math.min(top, height - size.height)),
      ...size,
    }));
    placed.set(item, choices.find((place) => ![...placed.values()].some((other) => overlap(place, other))) ?? choices[0]);
  }
  return placed;
}

/** @param {CanvasRenderingContext2D} context @param {Detection} item @param {Place | undefined} place */
function drawLabel(context, item, place) {
  if (!place) return;
  context.fillStyle = css(item);
  context.strokeStyle = 'rgb(0 0 0 / .75)';
  context.lineWidth = 1.5;
  context.beginPath();
  context.roundRect(place.left, place.top, place.width, place.height, 3);
  context.fill();
  context.stroke();
  context.fillStyle = luma(classColour(item.classIndex)) > 128 ? '#000' : '#fff';
  context.textBaseline = 'middle';
  context.fillText(textOf(item), place.left + 6, place.top + place.height / 2 + 1);
}

/** @param {Place} one @param {Place} other */
function overlap(one, other) {
  return (
    one.left < other.left + other.width &&
    other.left < one.left + one.width &&
    one.top < other.top + other.height &&
    other.top < one.top + one.height
  );
}

/** @param {Detection} item */
function textOf(item) {
  return `${item.name.split(/\s+/).join(' ')} ${item.score.toFixed(2)}`;
}

/** @param {Detection} item */
function css(item) {
  return `rgb(${classColour(item.classIndex).join(' ')})`;
}
