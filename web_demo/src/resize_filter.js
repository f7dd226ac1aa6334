/**
 * The filter weights of a one-dimensional resize in float32: out[i] = sum over t of weights[i * taps + t] * in[sources[i * taps + t]].
 *
 * Equal to `host_runtime/resize.py` and to torch. The mixture of float32 (`f`) and float64 is that of torch's C++ kernels:
 * at column 600 the rounding of a centre changes a weight by 3e-5.
 *
 * @typedef {'bilinear' | 'bilinear_antialias'} Kind
 * @typedef {{taps: number, sources: Int32Array, weights: Float32Array}} ResizeFilter
 */

const f = Math.fround;

/** @param {number} from @param {number} to @param {Kind} kind @returns {ResizeFilter} */
export function resizeFilter(from, to, kind) {
  if (from === to)
    return { taps: 1, sources: Int32Array.from({ length: to }, (_, index) => index), weights: new Float32Array(to).fill(1) };
  return kind === 'bilinear' ? bilinear(from, to) : antialiased(from, to);
}

/**
 * Antialiased: a triangle filter as wide as the scale. Source: ATen/native/cpu/UpSampleKernel.cpp, `_compute_indices_min_size_weights_aa`.
 *
 * @param {number} from @param {number} to @returns {ResizeFilter}
 */
function antialiased(from, to) {
  const scale = f(from / to);
  const support = Math.max(scale, 1);
  const inverse = f(1 / support);
  const centres = Float32Array.from({ length: to }, (_, index) => scale * (index + 0.5));
  const first = Int32Array.from(centres, (centre) => Math.max(Math.trunc(f(centre - support) + 0.5), 0));
  const last = Int32Array.from(centres, (centre) => Math.min(Math.trunc(f(centre + support) + 0.5), from));
  const taps = centres.reduce((most, _, index) => Math.max(most, last[index] - first[index]), 0);
  const sources = new Int32Array(to * taps);
  const weights = new Float32Array(to * taps);
  for (let out = 0; out < to; out += 1) {
    let sum = 0;
    for (let tap = 0; tap < taps; tap += 1) {
      const source = first[out] + tap;
      const distance = f(source - centres[out]) + 0.5;
      const weight = source < last[out] ? Math.max(f(1 - Math.abs(f(distance * inverse))), 0) : 0;
      sources[out * taps + tap] = Math.min(source, from - 1);
      weights[out * taps + tap] = weight;
      sum = f(sum + weight);
    }
    for (let tap = 0; tap < taps; tap += 1) weights[out * taps + tap] /= sum;
  }
  return { taps, sources, weights };
}

/**
 * Bilinear interpolation at half-pixel centres, clamped at the edges. Source: ATen/native/UpSample.h,
 * `area_pixel_compute_source_index` with align_corners=False.
 *
 * @param {number} from @param {number} to @returns {ResizeFilter}
 */
function bilinear(from, to) {
  const scale = f(from / to);
  const sources = new Int32Array(to * 2);
  const weights = new Float32Array(to * 2);
  for (let out = 0; out < to; out += 1) {
    const at = Math.max(f(scale * (out + 0.5) - 0.5), 0);
    const low = Math.min(Math.trunc(at), from - 1);
    const upper = Math.min(Math.max(f(at - low), 0), 1);
    sources.set([low, Math.min(low + 1, from - 1)], out * 2);
    weights.set([f(1 - upper), upper], out * 2);
  }
  return { taps: 2, sources, weights };
}
