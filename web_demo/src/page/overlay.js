/**
 * Draws masks, boxes, keypoints and labels over a picture, legible on any background and at any size: `host_runtime/draw.py` on a
 * canvas.
 */

import { classColour, luma } from '../colours.js';
import { FINDABLE } from '../keypoints.js';
import { maskLayer } from '../mask_layer.js';

/** @typedef {import('../decode.js').Detection} Detection */
/** @typedef {{left: number, top: number, width: number, height: number}} Place */

/** Small pictures are enlarged to this many CSS pixels on the long side. */
const LONG_SIDE = 640;
/** Of a line, in CSS pixels; that of its dark edges is half as much on each side. */
const LINE = 2.5;
/** Of a keypoint. */
const RADIUS = 1.5 * LINE;
const DARK = 'rgb(0 0 0 / .75)';

/**
 * Draws a picture undistorted at the available width, with its detections, the best ones last and on top; their masks as
 * translucent areas below all boxes, their keypoints above these.
 *
 * @param {HTMLCanvasElement} canvas @param {ImageBitmap} bitmap @param {readonly Detection[]} detections best first
 * @param {import('../manifest.js').Keypoints} [keypoints] of the manifest: the lines between keypoints
 */
export function drawOverlay(canvas, bitmap, detections, keypoints) {
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
  drawMasks(context, detections, bitmap, scale);

  const places = labelPlaces(context, detections, scale, width, height);
  for (const item of detections.toReversed()) drawBox(context, item, scale);
  for (const item of detections.toReversed()) drawKeypoints(context, item, keypoints, scale);
  for (const item of detections.toReversed()) drawLabel(context, item, places.get(item));
}

/**
 * @param {CanvasRenderingContext2D} context @param {readonly Detection[]} detections best first @param {ImageBitmap} bitmap
 * @param {number} scale
 */
function drawMasks(context, detections, { width, height }, scale) {
  const pixels = maskLayer(detections, { width, height });
  if (!pixels) return;
  const layer = new OffscreenCanvas(width, height);
  layer.getContext('2d')?.putImageData(new ImageData(pixels, width, height), 0, 0);
  context.drawImage(layer, 0, 0, width * scale, height * scale);
}

/** @param {CanvasRenderingContext2D} context @param {Detection} item @param {number} scale */
function drawBox(context, item, scale) {
  const [left, top, right, bottom] = item.box.map((edge) => edge * scale);
  // A dark edge on both sides of the coloured line.
  for (const [line, colour] of /** @type {[number, string][]} */ ([
    [2 * LINE, DARK],
    [LINE, css(item)],
  ])) {
    context.lineWidth = line;
    context.strokeStyle = colour;
    const inside = [Math.max(right - left - 2 * LINE, 0), Math.max(bottom - top - 2 * LINE, 0)];
    context.strokeRect(left + LINE, top + LINE, inside[0], inside[1]);
  }
}

/**
 * The points whose score is at least one half, and below them the lines of the skeleton between two of these.
 *
 * @param {CanvasRenderingContext2D} context @param {Detection} item @param {import('../manifest.js').Keypoints | undefined} spec
 * @param {number} scale
 */
function drawKeypoints(context, { keypoints: points, classIndex }, spec, scale) {
  if (!points) return;
  const colour = `rgb(${classColour(classIndex).join(' ')})`;
  const skeleton = spec?.classes.find(({ class_index: index }) => index === classIndex)?.skeleton ?? [];
  for (const [from, to] of skeleton.map((ends) => ends.map((end) => points[end]))) {
    if (from.score < FINDABLE || to.score < FINDABLE) continue;
    for (const [line, style] of /** @type {[number, string][]} */ ([
      [2 * LINE, DARK],
      [LINE, colour],
    ])) {
      context.lineWidth = line;
      context.strokeStyle = style;
      context.beginPath();
      context.moveTo(from.x * scale, from.y * scale);
      context.lineTo(to.x * scale, to.y * scale);
      context.stroke();
    }
  }
  for (const { x, y } of points.filter(({ score }) => score >= FINDABLE)) {
    for (const [radius, style] of /** @type {[number, string][]} */ ([
      [RADIUS + LINE / 2, DARK],
      [RADIUS, colour],
    ])) {
      context.fillStyle = style;
      context.beginPath();
      context.arc(x * scale, y * scale, radius, 0, 2 * Math.PI);
      context.fill();
    }
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
  context.strokeStyle = DARK;
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
