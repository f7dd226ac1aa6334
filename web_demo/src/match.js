/**
 * Compares two lists of detections as sets, by the rule of `verify/parity/detections.py`: with threshold t, score tolerance d
 * and IoU limit u, two detections match if they are of one class, their IoU is at least u and their scores differ by at most d;
 * if the reference has a mask, the candidate's has an IoU of at least m with it; and if it has keypoints, the candidate's that
 * either side scores 0.5 or more lie within a share k of the diagonal of its box of them, and their scores differ by at most d.
 * A detection with a score above t + d must have a match, one within d of t may have one, and the rest is ignored.
 *
 * @typedef {import('./decode.js').Detection} Detection
 * @typedef {{threshold: number, iou: number, score: number, mask?: number, keypoint?: number}} DetectionLimits
 * @typedef {{status: 'matched' | 'missing' | 'extra' | 'borderline', reference?: Detection, candidate?: Detection, iou?: number,
 *   maskIou?: number, keypointGap?: number}} Row
 */

import { area, intersection } from './decode.js';
import { FINDABLE } from './keypoints.js';

/** Scores are float32 while limits are decimal fractions: a difference of exactly the tolerance must not fail by rounding. */
const ROUNDING = 1e-7;

/** The threshold to decode both lists with. @param {DetectionLimits} limits */
export function floorOf(limits) {
  return Math.max(0, limits.threshold - limits.score);
}

/**
 * @param {readonly Detection[]} reference decoded down to `floorOf(limits)`, as is
 * @param {readonly Detection[]} candidate
 * @param {DetectionLimits} limits
 * @returns {Row[]} best first
 */
export function matchDetections(reference, candidate, limits) {
  const considered = (/** @type {Detection} */ item) => item.score > limits.threshold - limits.score;
  const required = (/** @type {Detection} */ item) => item.score > limits.threshold + limits.score;
  const [left, right] = [reference.filter(considered), candidate.filter(considered)];
  const fit = (/** @type {Detection} */ one, /** @type {Detection} */ other) =>
    one.classIndex === other.classIndex &&
    iou(one.box, other.box) >= limits.iou &&
    Math.abs(one.score - other.score) <= limits.score + ROUNDING &&
    (!one.mask || (maskIou(one, other) ?? 0) >= (limits.mask ?? 0)) &&
    (!one.keypoints ||
      (keypointGap(one, other).distance <= (limits.keypoint ?? Infinity) &&
        keypointGap(one, other).score <= limits.score + ROUNDING));
  const edges = left.map((one) => right.map((other) => fit(one, other)));
  const worth = left.map((one) => right.map((other) => iou(one.box, other.box) - Math.abs(one.score - other.score)));
  const partner = pairs(edges, worth, left.map(required), right.map(required));

  /** @type {Row[]} */
  const rows = left.map((one, index) => {
    const other = partner.get(index);
    if (other === undefined) return { status: required(one) ? 'missing' : 'borderline', reference: one };
    const candidate = right[other];
    const figures = { iou: iou(one.box, candidate.box), maskIou: maskIou(one, candidate) };
    const points = one.keypoints ? { keypointGap: keypointGap(one, candidate).distance } : {};
    return { status: 'matched', reference: one, candidate, ...figures, ...points };
  });
  const taken = new Set(partner.values());
  right.forEach((other, index) => {
    if (!taken.has(index)) rows.push({ status: required(other) ? 'extra' : 'borderline', candidate: other });
  });
  const best = (/** @type {Row} */ row) => Math.max(row.reference?.score ?? 0, row.candidate?.score ?? 0);
  return rows.sort((one, other) => best(other) - best(one));
}

/** The masks' intersection over union; undefined if either has none. @param {Detection} one @param {Detection} other */
function maskIou(one, other) {
  return one.mask && other.mask && one.mask.iou(other.mask);
}

/**
 * The largest distance of the keypoints that either scores 0.5 or more, as a share of the diagonal of the first one's box, and the
 * largest difference of their scores; infinite if there are not as many on both sides.
 *
 * @param {Detection} one @param {Detection} other
 */
function keypointGap({ keypoints = [], box: [left, top, right, bottom] }, { keypoints: others = [] }) {
  if (others.length !== keypoints.length) return { distance: Infinity, score: Infinity };
  const diagonal = Math.max(Math.hypot(right - left, bottom - top), 1e-9);
  const found = keypoints
    .map((point, at) => ({ point, other: others[at] }))
    .filter(({ point, other }) => Math.max(point.score, other.score) >= FINDABLE);
  return {
    distance: Math.max(0, ...found.map(({ point, other }) => Math.hypot(point.x - other.x, point.y - other.y) / diagonal)),
    score: Math.max(0, ...found.map(({ point, other }) => Math.abs(point.score - other.score))),
  };
}

/**
 * Intersection over union; without area, 1 for the same box, else 0.
 *
 * @param {Detection['box']} one
 * @param {Detection['box']} other
 */
export function iou(one, other) {
  const inter = intersection(one, other);
  const union = area(one) + area(other) - inter;
  return union > 0 ? inter / union : Number(one.every((edge, index) => edge === other[index]));
}

/**
 * Pairs two sets so that a maximum number of required elements on both sides is matched: augmenting paths (Kuhn 1955) from the
 * required left elements, then from the required right ones, where an optional right one may lose its match; the second phase
 * keeps the matches of the first (Mendelsohn and Dulmage 1958). Greedy pairing could report a detection missing that is not.
 *
 * @param {boolean[][]} edges @param {number[][]} worth @param {boolean[]} leftRequired @param {boolean[]} rightRequired
 * @returns {Map<number, number>} left to right
 */
export function pairs(edges, worth, leftRequired, rightRequired) {
  const byWorth = (/** @type {number[]} */ values, /** @type {(index: number) => boolean} */ allowed) =>
    [...values.keys()].filter(allowed).sort((one, other) => values[other] - values[one] || one - other);
  const order = edges.map((row, left) => byWorth(worth[left], (right) => row[right]));
  const reverse = rightRequired.map((_, right) =>
    byWorth(
      worth.map((row) => row[right]),
      (left) => edges[left][right],
    ),
  );
  /** @type {Map<number, number>} */
  const leftOf = new Map();
  /** @type {Map<number, number>} */
  const rightOf = new Map();
  const join = (/** @type {number} */ left, /** @type {number} */ right) => {
    leftOf.set(right, left);
    rightOf.set(left, right);
  };

  /** @type {(left: number, seen: Set<number>) => boolean} */
  const placeLeft = (left, seen) =>
    order[left].some((right) => {
      if (seen.has(right)) return false;
      seen.add(right);
      const holder = leftOf.get(right);
      if (holder !== undefined && !placeLeft(holder, seen)) return false;
      join(left, right);
      return true;
    });

  /** @type {(right: number, seen: Set<number>) => boolean} */
  const placeRight = (right, seen) =>
    reverse[right].some((left) => {
      if (seen.has(left)) return false;
      seen.add(left);
      const holder = rightOf.get(left);
      if (holder !== undefined && rightRequired[holder] && !placeRight(holder, seen)) return false;
      if (holder !== undefined && leftOf.get(holder) === left) leftOf.delete(holder);
      join(left, right);
      return true;
    });

  leftRequired.forEach((required, left) => required && placeLeft(left, new Set()));
  rightRequired.forEach((required, right) => required && !leftOf.has(right) && placeRight(right, new Set()));
  edges.forEach((_, left) => rightOf.has(left) || placeLeft(left, new Set()));
  return rightOf;
}
