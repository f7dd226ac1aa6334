/**
 * Keypoints of detections: from the last graph's output [1, Q, K, 7] to a picture's pixels, their uncertainty, and its share in the
 * score, equal to `host_runtime/keypoints.py`, which gives the formulas and their source.
 *
 * The values of a point: x and y as fractions of the input; the logits of being findable and visible; log l11, l21, log l22 of the
 * Cholesky factor L of the precision, the inverse of the covariance.
 *
 * @typedef {import('./tensor.js').Tensor} Tensor
 * @typedef {import('./manifest.js').Keypoints} KeypointsSpec
 * @typedef {{x: number, y: number, score: number, covariance?: [number, number, number]}} Keypoint
 *   x and y in the picture's pixels, perhaps outside of it; covariance: xx, xy, yy in square pixels, absent where it is not finite
 */

/** Values of a point in the output. */
export const CHANNELS = 7;
/** The lowest score of a point that is drawn. */
export const FINDABLE = 0.5;
const BELOW_ONE = 1 - 2 ** -24;
/** Pixels: no picture is as large, and JSON can hold it. */
const FARTHEST = 1e9;
/** Of weights and of |l21|, whose logarithms are taken. */
const LEAST = 1e-12;

const f = Math.fround;
const sigmoid = (/** @type {number} */ x) => 1 / (1 + Math.exp(-x));

/** K. @param {KeypointsSpec} spec */
export function totalOf({ classes }) {
  return classes.reduce((sum, { names }) => sum + names.length, 0);
}

/** Decodes one picture's output. */
export class KeypointDecoder {
  /**
   * @param {Tensor} output [1, Q, K, 7]
   * @param {number} queries Q
   * @param {KeypointsSpec} spec
   * @throws {Error} it has another shape, or a value is not finite because a graph ran incorrectly.
   */
  constructor({ data, shape }, queries, spec) {
    const wanted = [1, queries, totalOf(spec), CHANNELS];
    if (String(shape) !== String(wanted)) throw new Error(`keypoints [${shape.join(', ')}] are not [${wanted.join(', ')}]`);
    if (!data.every(Number.isFinite))
      throw new Error(`'${spec.output}' contains NaN or infinity: the graphs ran incorrectly on this GPU`);
    this.data = data;
    this.total = wanted[2];
    this.weight = spec.score_weight;
    /** First and number of the K points, by class. @type {Map<number, {first: number, count: number}>} */
    this.slots = new Map();
    let first = 0;
    for (const { class_index: index, names } of spec.classes) {
      this.slots.set(index, { first, count: names.length });
      first += names.length;
    }
  }

  /**
   * The score of an object that takes the uncertainty of its keypoints into account; the same of a class that is not listed.
   *
   * @param {number} score @param {number} query @param {number} classIndex
   */
  score(score, query, classIndex) {
    const slots = this.slots.get(classIndex);
    if (!slots || !(this.weight > 0)) return score;
    return Math.min(f(sigmoid(Math.log(score) - this.weight * this.#logMeanTrace(query, slots))), BELOW_ONE);
  }

  /**
   * The keypoints of an object; undefined of a class without.
   *
   * @param {number} query @param {number} classIndex
   * @param {{scale: number[], offset: number[]}} back from fractions of the input to the picture, for x and y
   * @returns {Keypoint[] | undefined}
   */
  decode(query, classIndex, { scale, offset }) {
    const slots = this.slots.get(classIndex);
    if (!slots?.count) return undefined;
    return this.#points(query, slots).map(([x, y, findable, , one, mixed, two]) => {
      const at = (/** @type {number} */ fraction, /** @type {number} */ axis) =>
        Math.min(Math.max(f(f(fraction * scale[axis]) + offset[axis]), -FARTHEST), FARTHEST);
      const point = { x: at(x, 0), y: at(y, 1), score: f(sigmoid(findable)) };
      const share = mixed * Math.exp(-one - two);
      /** @type {[number, number, number]} */
      const covariance = [
        f(scale[0] ** 2 * (Math.exp(-2 * one) + share * share)),
        f(scale[0] * scale[1] * (-mixed * Math.exp(-one - 2 * two)) + 0),
        f(scale[1] ** 2 * Math.exp(-2 * two)),
      ];
      return covariance.every(Number.isFinite) ? { ...point, covariance } : point;
    });
  }

  /** ln of the mean trace of the covariances, weighted by how findable each is. @param {number} query @param {{first: number, count: number}} slots */
  #logMeanTrace(query, slots) {
    if (!slots.count) return 0;
    const points = this.#points(query, slots);
    const weights = points.map(([, , findable]) => Math.log(Math.max(sigmoid(findable), LEAST)));
    const traces = points.map(([, , , , one, mixed, two], index) => {
      const [first, second] = [-2 * one, -2 * two];
      return logSumExp([first, second, 2 * Math.log(Math.max(Math.abs(mixed), LEAST)) + first + second]) + weights[index];
    });
    return logSumExp(traces) - logSumExp(weights);
  }

  /** @param {number} query @param {{first: number, count: number}} slots */
  #points(query, { first, count }) {
    const start = (query * this.total + first) * CHANNELS;
    return Array.from({ length: count }, (_, index) =>
      this.data.subarray(start + index * CHANNELS, start + (index + 1) * CHANNELS),
    );
  }
}

/** @param {number[]} values finite ones */
function logSumExp(values) {
  const most = Math.max(...values);
  return Math.log(values.reduce((sum, value) => sum + Math.exp(value - most), 0)) + most;
}
