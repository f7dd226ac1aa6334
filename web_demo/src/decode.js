/**
 * Decodes graph B's boxes and logits to detections, equal to `host_runtime/decode.py`: sigmoid, the `num_select` best over
 * queries x classes with ties by lower index, boxes to pixels, clamped to the picture. With keypoints, the scores of the selected
 * change; then the threshold and the order are of the new ones.
 *
 * @typedef {import('./tensor.js').Tensor} Tensor
 * @typedef {{classIndex: number, name: string, score: number, box: [number, number, number, number], query?: number,
 *   mask?: import('./masks.js').Mask, keypoints?: import('./keypoints.js').Keypoint[]}} Detection
 *   box: left, top, right, bottom in the picture's pixels; query: of the detector, that the object comes from
 */

import { sigmoid } from './host/elementwise.js';
import { KeypointDecoder } from './keypoints.js';
import { place, toPicture } from './placement.js';
import { topkIndices } from './topk.js';

const f = Math.fround;

/**
 * @param {Tensor} boxes [1, Q, 4], centre x, centre y, width, height as fractions of the input
 * @param {Tensor} logits [1, Q, C], before the sigmoid
 * @param {{width: number, height: number}} picture its size in pixels
 * @param {import('./manifest.js').Postprocess} spec
 * @param {readonly (string | null)[]} classes C names; null is an unused index, reported as `class N`
 * @param {{threshold: number, nmsIou?: number, nmsAcrossClasses?: boolean, input?: import('./manifest.js').Preprocess,
 *   keypoints?: Tensor}} options
 *   threshold: exclusive lower bound of scores; nmsIou: no NMS if absent; nmsAcrossClasses: a better box of any class
 *   suppresses; input: places the picture in the input, which it fills if absent; keypoints: [1, Q, K, 7], of a bundle with them
 * @returns {Detection[]} best first
 * @throws {Error} shapes are invalid, or a value is NaN because a graph ran incorrectly.
 */
export function decode(boxes, logits, picture, spec, classes, options) {
  const { threshold, nmsIou, nmsAcrossClasses = false, input, keypoints } = options;
  const columns = check(boxes, logits, classes);
  const scores = Float32Array.from(logits.data, sigmoid);
  const back = input
    ? toPicture(place(picture, input), picture, input)
    : { scale: [picture.width, picture.height], offset: [0, 0] };
  const ignored = new Set(spec.ignored_classes ?? []);
  const best = [...topkIndices(scores, Math.min(spec.num_select, scores.length))];
  const points = keypointsOf(spec, keypoints, logits.shape[1]);
  if (points) {
    for (const index of best) scores[index] = points.score(scores[index], Math.trunc(index / columns), index % columns);
    best.sort((one, other) => scores[other] - scores[one]); // stable
  }
  const found = best
    .filter((index) => scores[index] > threshold && !ignored.has(index % columns))
    .map((index) => {
      const classIndex = index % columns;
      const name = classes[classIndex] || `class ${classIndex}`;
      const query = Math.trunc(index / columns);
      const item = { classIndex, name, score: scores[index], box: toPixels(boxes.data, query, picture, back), query };
      const own = points?.decode(query, classIndex, back);
      return own ? { ...item, keypoints: own } : item;
    });
  return nmsIou === undefined ? found : nms(found, nmsIou, nmsAcrossClasses);
}

/**
 * @param {import('./manifest.js').Postprocess} spec @param {Tensor | undefined} output @param {number} queries
 * @returns {KeypointDecoder | undefined}
 */
function keypointsOf({ keypoints }, output, queries) {
  if (!keypoints) return undefined;
  if (!output) throw new Error(`there is no output '${keypoints.output}'`);
  return new KeypointDecoder(output, queries, keypoints);
}

/**
 * @param {ArrayLike<number>} boxes
 * @param {number} query
 * @param {{width: number, height: number}} picture
 * @param {ReturnType<typeof toPicture>} back
 * @returns {Detection['box']}
 */
function toPixels(boxes, query, { width, height }, back) {
  const [x, y, w, h] = [0, 1, 2, 3].map((index) => boxes[query * 4 + index]);
  const clamped = (/** @type {number} */ edge, /** @type {number} */ axis, /** @type {number} */ extent) =>
    Math.min(Math.max(f(f(f(edge) * back.scale[axis]) + back.offset[axis]), 0), extent);
  return [
    clamped(x - 0.5 * w, 0, width),
    clamped(y - 0.5 * h, 1, height),
    clamped(x + 0.5 * w, 0, width),
    clamped(y + 0.5 * h, 1, height),
  ];
}

/**
 * Greedy non-maximum suppression, within each class or across classes.
 *
 * @param {Detection[]} found best first
 * @param {number} limit
 * @param {boolean} across
 * @returns {Detection[]}
 */
function nms(found, limit, across) {
  /** @type {Detection[]} */
  const kept = [];
  for (const item of found) {
    const suppresses = (/** @type {Detection} */ better) =>
      (across || better.classIndex === item.classIndex) && overlaps(better.box, item.box, limit);
    if (!kept.some(suppresses)) kept.push(item);
  }
  return kept;
}

/**
 * Whether the IoU exceeds a limit, without division: two boxes without area would give 0 / 0.
 *
 * @param {Detection['box']} one
 * @param {Detection['box']} other
 * @param {number} limit
 */
function overlaps(one, other, limit) {
  const inter = intersection(one, other);
  return inter > limit * (area(one) + area(other) - inter);
}

/** @param {Detection['box']} box */
export function area([left, top, right, bottom]) {
  return Math.max(right - left, 0) * Math.max(bottom - top, 0);
}

/** @param {Detection['box']} one @param {Detection['box']} other */
export function intersection(one, other) {
  return area([Math.max(one[0], other[0]), Math.max(one[1], other[1]), Math.min(one[2], other[2]), Math.min(one[3], other[3])]);
}

/** @param {Tensor} boxes @param {Tensor} logits @param {readonly (string | null)[]} classes @returns {number} columns */
function check(boxes, logits, classes) {
  const [[batch, queries, columns], wanted] = [logits.shape, `[1, ${logits.shape[1]}, 4]`];
  if (logits.shape.length !== 3 || batch !== 1 || `[${boxes.shape.join(', ')}]` !== wanted) {
    throw new Error(
      `boxes [${boxes.shape.join(', ')}] and logits [${logits.shape.join(', ')}] are not [1, Q, 4] and [1, Q, C]`,
    );
  }
  if (columns !== classes.length) throw new Error(`there are ${classes.length} class names for ${columns} logit columns`);
  for (const [name, tensor] of /** @type {[string, Tensor][]} */ ([
    ['boxes', boxes],
    ['logits', logits],
  ])) {
    if (tensor.data.some(Number.isNaN))
      throw new Error(`'${name}' contains NaN: the graphs ran incorrectly on this GPU (${queries} queries)`);
  }
  return columns;
}
