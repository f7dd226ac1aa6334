/**
 * Compares a tensor with its reference: `verify/parity/metrics.py` in JavaScript. All arithmetic is float64.
 *
 * Pearson's correlation does not detect a wrong scale or offset, so there is a relative error, too: the root mean square of
 * the difference over the reference's standard deviation. A correlation limit r bounds it by sqrt(1 - r²).
 *
 * @typedef {{correlation: number, relativeError: number, maxAbsError: number, referenceMax: number}} Difference
 *   NaN if undefined; `maxAbsError` is infinite where a value is NaN, or infinite on one side only.
 */

/** A spread below this share of the magnitude is float32 rounding, not signal. */
const CONSTANT = 1e-6;
/** Tolerance for constants, as a share of max(1, |reference|). */
const TOLERANCE = 1e-5;

/**
 * @param {ArrayLike<number>} candidate
 * @param {ArrayLike<number>} reference as many elements
 * @returns {Difference}
 */
export function difference(candidate, reference) {
  if (candidate.length !== reference.length) throw new RangeError(`${candidate.length} and ${reference.length} elements`);
  /** @type {number[]} */
  const x = [];
  /** @type {number[]} */
  const y = [];
  let bad = 0;
  for (let index = 0; index < reference.length; index += 1) {
    const [a, b] = [candidate[index], reference[index]];
    if (Number.isFinite(a) && Number.isFinite(b)) {
      x.push(a);
      y.push(b);
    } else if (a !== b) bad += 1; // NaN is unequal to itself, so it counts
  }
  const referenceMax = largest(y);
  const worst = y.reduce((most, value, index) => Math.max(most, Math.abs(x[index] - value)), 0);
  if (bad) return { correlation: NaN, relativeError: NaN, maxAbsError: Infinity, referenceMax };
  return {
    correlation: correlation(x, y, worst, referenceMax),
    relativeError: relativeError(x, y, referenceMax),
    maxAbsError: worst,
    referenceMax,
  };
}

/**
 * Whether both the correlation and the relative error meet a correlation limit; NaN never does.
 *
 * @param {Difference} found
 * @param {number} limit
 */
export function within(found, limit) {
  return found.correlation >= limit && found.relativeError <= Math.max(Math.sqrt(Math.max(0, 1 - limit * limit)), 1e-15);
}

/** @param {number[]} x @param {number[]} y @param {number} worst @param {number} referenceMax */
function correlation(x, y, worst, referenceMax) {
  if (isConstant(x) || isConstant(y)) return worst <= TOLERANCE * Math.max(1, referenceMax) ? 1 : NaN;
  const [a, b] = [centred(x), centred(y)];
  let [ab, aa, bb] = [0, 0, 0];
  for (let index = 0; index < a.length; index += 1) {
    ab += a[index] * b[index];
    aa += a[index] * a[index];
    bb += b[index] * b[index];
  }
  return Math.min(Math.max(ab / Math.sqrt(aa * bb), -1), 1);
}

/** @param {number[]} x @param {number[]} y @param {number} referenceMax */
function relativeError(x, y, referenceMax) {
  if (!y.length) return 0;
  const scale = isConstant(y) ? Math.max(1, referenceMax) : Math.sqrt(mean(centredRaw(y).map((value) => value * value)));
  return Math.sqrt(mean(x.map((value, index) => ((value - y[index]) / scale) ** 2)));
}

/** Centres and scales to a largest magnitude of 1, so that squares neither overflow nor underflow. @param {number[]} values */
function centred(values) {
  const around = centredRaw(values);
  const top = largest(around);
  return around.map((value) => value / top);
}

/** @param {number[]} values */
function centredRaw(values) {
  const middle = mean(values);
  return values.map((value) => value - middle);
}

/** @param {number[]} values */
function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** @param {number[]} values */
function largest(values) {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

/** @param {number[]} values */
function isConstant(values) {
  if (!values.length) return true;
  const [low, high] = values.reduce(
    ([least, most], value) => [Math.min(least, value), Math.max(most, value)],
    [Infinity, -Infinity],
  );
  return high - low <= CONSTANT * largest(values);
}
