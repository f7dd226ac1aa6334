/** Class colours, equal to those of `host_runtime/draw.py`: fixed, bright, and distinct from their neighbours'. */

/** Golden-ratio steps around the colour wheel separate neighbouring class indices, however many there are. */
const GOLDEN = 0.6180339887498949;

/** @param {number} classIndex @returns {[number, number, number]} red, green, blue of 255 */
export function classColour(classIndex) {
  const hue = (0.02 + classIndex * GOLDEN) % 1;
  // Every third class is darker and every second paler: classes of similar hue still differ.
  const rgb = hsvToRgb(hue, 0.95 - 0.3 * (classIndex % 2), 1 - 0.2 * Number(classIndex % 3 === 2));
  // Lightens deep blues and violets: a line of luma below 0.35 is invisible on a dark picture.
  const white = Math.max(0, (0.35 - luma(rgb)) / (1 - luma(rgb)));
  const [red, green, blue] = rgb.map((value) => roundHalfEven(255 * (value + (1 - value) * white)));
  return [red, green, blue];
}

/** Rec. 601 luma, on the scale of the channels. @param {readonly number[]} rgb */
export function luma([red, green, blue]) {
  return 0.299 * red + 0.587 * green + 0.114 * blue;
}

/**
 * Converts HSV to RGB, like Python's colorsys.
 *
 * @param {number} hue
 * @param {number} saturation
 * @param {number} value
 * @returns {[number, number, number]}
 */
function hsvToRgb(hue, saturation, value) {
  const sector = Math.trunc(hue * 6);
  const part = hue * 6 - sector;
  const [p, q, t] = [value * (1 - saturation), value * (1 - saturation * part), value * (1 - saturation * (1 - part))];
  const all = /** @type {[number, number, number][]} */ ([
    [value, t, p],
    [q, value, p],
    [p, value, t],
    [p, q, value],
    [t, p, value],
    [value, p, q],
  ]);
  return all[sector % 6];
}

/** @param {number} value */
function roundHalfEven(value) {
  const down = Math.floor(value);
  return value - down === 0.5 ? down + (down % 2) : Math.round(value);
}
