/** GELU: x * Phi(x), or torch's tanh approximation. */

const SERIES_BELOW = 3;
const ONE_FROM = 6;
const FRACTION_TERMS = 60;

/** @param {number} x */
export function gelu(x) {
  return x * 0.5 * (1 + erf(x * Math.SQRT1_2));
}

/** @param {number} x */
export function geluTanh(x) {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

/**
 * The error function, to about 1e-12: the Maclaurin series below 3 (Abramowitz and Stegun 7.1.5), the continued fraction of
 * erfc above (7.1.14), and 1 from 6, where erfc is below 3e-17. JavaScript has no erf.
 *
 * @param {number} x
 */
export function erf(x) {
  const size = Math.abs(x);
  if (Number.isNaN(size)) return x;
  const value = size < SERIES_BELOW ? series(size) : size < ONE_FROM ? 1 - tail(size) : 1;
  return x < 0 ? -value : value;
}

/** @param {number} x */
function series(x) {
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n += 1) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

/** @param {number} x */
function tail(x) {
  let fraction = x;
  for (let n = FRACTION_TERMS; n >= 1; n -= 1) fraction = x + n / 2 / fraction;
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * fraction);
}
