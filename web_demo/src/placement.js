/**
 * Where a picture lies in the input after the resize, and how boxes get back from there, equal to `host_runtime/placement.py`.
 *
 * @typedef {{width: number, height: number, left: number, top: number, pads: boolean}} Placement
 *   the resized picture in the input; pads: some of the input is not of the picture
 */

const f = Math.fround;

/**
 * @param {{width: number, height: number}} picture
 * @param {import('./manifest.js').Preprocess} spec
 * @returns {Placement}
 */
export function place(picture, spec) {
  const { fit = 'stretch' } = spec;
  if (fit === 'stretch') return { width: spec.width, height: spec.height, left: 0, top: 0, pads: false };
  const factor = Math.min(spec.height / picture.height, spec.width / picture.width);
  const rounded = fit === 'letterbox' ? halfToEven : Math.floor;
  const width = Math.min(Math.max(rounded(picture.width * factor), 1), spec.width);
  const height = Math.min(Math.max(rounded(picture.height * factor), 1), spec.height);
  const [left, top] = fit === 'letterbox' ? [(spec.width - width) >> 1, (spec.height - height) >> 1] : [0, 0];
  return { width, height, left, top, pads: width !== spec.width || height !== spec.height };
}

/**
 * From fractions of the input to pixels of the picture: fraction * scale + offset, for x and y.
 *
 * @param {Placement} placement
 * @param {{width: number, height: number}} picture
 * @param {{width: number, height: number}} input
 */
export function toPicture(placement, picture, input) {
  const [x, y] = [picture.width / placement.width, picture.height / placement.height];
  return { scale: [f(input.width * x), f(input.height * y)], offset: [f(-placement.left * x), f(-placement.top * y)] };
}

/** @param {number} value */
function halfToEven(value) {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}
