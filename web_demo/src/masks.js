/**
 * Masks of objects: from graph M's logits to a picture's pixels, and run lengths in COCO's form, equal to
 * `host_runtime/masks.py` pixel by pixel: a bilinear resize with half-pixel centres and without antialias, first along rows, then
 * along columns, in float32; a pixel is of the object if its logit is above 0.
 */

import { sigmoid } from './host/elementwise.js';

const f = Math.fround;
const FIRST = 48;
const BITS = 5;

/** Which pixels of a picture are of an object; immutable. */
export class Mask {
  /**
   * @param {number} width
   * @param {number} height
   * @param {readonly number[]} runs pixels column by column, the lengths of the runs outside and inside in turn, from outside on
   */
  constructor(width, height, runs) {
    this.width = width;
    this.height = height;
    this.runs = runs;
  }

  /**
   * Decodes COCO's compressed run lengths.
   *
   * @param {unknown} width
   * @param {unknown} height
   * @param {unknown} counts
   * @throws {RangeError} they are not those of a mask of this size.
   */
  static of(width, height, counts) {
    const side = (/** @type {unknown} */ value) => Number.isInteger(value) && Number(value) > 0 && Number(value) <= 2 ** 20;
    if (!side(width) || !side(height) || typeof counts !== 'string') throw new RangeError('not a mask in run lengths');
    const runs = decoded(counts);
    const pixels = runs.reduce((sum, run) => sum + run, 0);
    if (runs.some((run) => run < 0) || pixels !== Number(width) * Number(height)) {
      throw new RangeError(`the run lengths are not those of ${width} x ${height} pixels`);
    }
    return new Mask(Number(width), Number(height), runs);
  }

  /**
   * The mask without the pixels outside of a box: pixel x is inside if left <= x < right, and y likewise.
   *
   * @param {readonly [number, number, number, number]} box left, top, right, bottom
   */
  within([left, top, right, bottom]) {
    /** @type {number[]} */
    const changes = [];
    this.forEachSegment((column, from, until) => {
      const [first, end] = [Math.max(from, Math.ceil(top)), Math.min(until, Math.ceil(bottom))];
      if (column < left || column >= right || first >= end) return;
      const start = column * this.height + first;
      // A segment that continues the one before, from the last row of a column to the first of the next.
      if (changes.length && changes[changes.length - 1] === start) changes.pop();
      else changes.push(start);
      changes.push(column * this.height + end);
    });
    const pixels = this.width * this.height;
    if (changes[changes.length - 1] !== pixels) changes.push(pixels);
    return new Mask(
      this.width,
      this.height,
      changes.map((at, index) => at - (index ? changes[index - 1] : 0)),
    );
  }

  /** The object's pixels. */
  get area() {
    return this.runs.reduce((sum, run, index) => sum + (index % 2 ? run : 0), 0);
  }

  /** The run lengths in COCO's compressed form. */
  get counts() {
    let text = '';
    this.runs.forEach((run, index) => {
      let value = index > 2 ? run - this.runs[index - 2] : run;
      for (let more = true; more;) {
        const bits = value & 31;
        value >>= BITS;
        more = value !== (bits & 16 ? -1 : 0);
        text += String.fromCharCode(FIRST + (more ? bits | 32 : bits));
      }
    });
    return text;
  }

  /**
   * Intersection over union with a mask of the same size; 1 if both are empty, 0 if the other has another size.
   *
   * @param {Mask} other
   */
  iou(other) {
    if (this.width !== other.width || this.height !== other.height) return 0;
    let [shared, here, there, place] = [0, 0, 0, 0];
    let [own, its] = [this.runs[0] ?? 0, other.runs[0] ?? 0];
    const pixels = this.width * this.height;
    while (place < pixels) {
      while (own === 0 && here + 1 < this.runs.length) own = this.runs[(here += 1)];
      while (its === 0 && there + 1 < other.runs.length) its = other.runs[(there += 1)];
      const step = Math.min(own, its);
      if (step === 0) break;
      if (here % 2 && there % 2) shared += step;
      own -= step;
      its -= step;
      place += step;
    }
    const union = this.area + other.area - shared;
    return union ? shared / union : 1;
  }

  /**
   * Calls `segment` for each vertical line of the object's pixels: a column, its first row, and the row after its last.
   *
   * @param {(column: number, from: number, until: number) => void} segment
   */
  forEachSegment(segment) {
    let start = 0;
    this.runs.forEach((run, index) => {
      const end = start + run;
      if (index % 2) {
        for (let at = start; at < end;) {
          const column = Math.floor(at / this.height);
          const until = Math.min(end, (column + 1) * this.height);
          segment(column, at - column * this.height, until - column * this.height);
          at = until;
        }
      }
      start = end;
    });
  }
}

/** @param {string} counts @returns {number[]} @throws {RangeError} */
function decoded(counts) {
  /** @type {number[]} */
  const runs = [];
  let [value, factor] = [0, 1];
  for (const character of counts) {
    const code = /** @type {number} */ (character.codePointAt(0)) - FIRST;
    if (code < 0 || code > 63 || factor > 2 ** 45) throw new RangeError("the run lengths are not in COCO's compressed form");
    value += (code & 31) * factor;
    factor *= 32;
    if (code & 32) continue;
    if (code & 16) value -= factor;
    runs.push(runs.length > 2 ? value + runs[runs.length - 2] : value);
    [value, factor] = [0, 1];
  }
  if (factor !== 1) throw new RangeError('the run lengths end within a number');
  return runs;
}

/**
 * Decodes one of graph M's masks for a picture.
 *
 * @param {import('./tensor.js').Tensor} logits [1, h, w, K], which cover the input
 * @param {number} index of the mask among the K
 * @param {import('./placement.js').Placement} placement where the picture lies in the input
 * @param {{width: number, height: number}} picture its size in pixels
 * @param {{width: number, height: number}} input
 * @param {'none' | 'sigmoid'} [activation] `sigmoid`: probabilities less a half are resized in place of logits
 */
export function maskOf({ data, shape }, index, placement, picture, input, activation = 'none') {
  const [, rows, columns, room] = shape;
  const across = between(picture.width, placement.width, placement.left, input.width, columns);
  const down = between(picture.height, placement.height, placement.top, input.height, rows);
  const line = new Float32Array(rows);
  const plane = new Float32Array(rows * columns);
  for (let cell = 0, at = index; cell < plane.length; cell += 1, at += room) {
    plane[cell] = activation === 'sigmoid' ? f(sigmoid(Number(data[at]))) - 0.5 : data[at];
  }
  const runs = [0];
  let inside = false;
  const add = (/** @type {boolean} */ is, /** @type {number} */ pixels) => {
    if (is !== inside) {
      inside = is;
      runs.push(0);
    }
    runs[runs.length - 1] += pixels;
  };
  for (let x = 0; x < picture.width; x += 1) {
    const [low, high, share] = [across.low[x], across.high[x], across.share[x]];
    const rest = f(1 - share);
    for (let row = 0; row < rows; row += 1) {
      line[row] = f(plane[row * columns + low] * rest) + f(plane[row * columns + high] * share);
    }
    for (let y = 0; y < picture.height;) {
      const [upper, lower, end] = [line[down.low[y]], line[down.high[y]], down.end[y]];
      // Between two cells on the same side of 0, every pixel is on that side; the bounds exclude under- and overflow.
      if (upper <= 0 && lower <= 0) add(false, end - y);
      else if (upper > 1e-20 && lower > 1e-20 && upper < 1e20 && lower < 1e20) add(true, end - y);
      else for (let at = y; at < end; at += 1) add(f(upper * f(1 - down.share[at])) + f(lower * down.share[at]) > 0, 1);
      y = end;
    }
  }
  return new Mask(picture.width, picture.height, runs);
}

/**
 * Detections with their queries' masks, cut to the boxes if the bundle's are; a detection without one has none.
 *
 * @param {readonly import('./decode.js').Detection[]} found
 * @param {ReadonlyMap<number, Mask>} masks by query
 * @param {import('./manifest.js').Masks | undefined} spec
 */
export function withMasks(found, masks, spec) {
  return found.map((item) => {
    const mask = masks.get(/** @type {number} */ (item.query));
    return { ...item, mask: spec?.within_box ? mask?.within(item.box) : mask };
  });
}

/**
 * For each pixel of a side: the two nearest cells, the share of the second, and the next pixel that is between other cells.
 *
 * @param {number} pixels @param {number} resized of them in the input @param {number} offset @param {number} whole the input
 * @param {number} cells that cover the input
 */
function between(pixels, resized, offset, whole, cells) {
  const [low, high, end] = [new Int32Array(pixels), new Int32Array(pixels), new Int32Array(pixels)];
  const share = new Float32Array(pixels);
  for (let pixel = 0; pixel < pixels; pixel += 1) {
    const centre = ((pixel + 0.5) * (resized / pixels) + offset) * (cells / whole) - 0.5;
    const inner = Math.min(Math.max(centre, 0), cells - 1);
    low[pixel] = Math.floor(inner);
    high[pixel] = Math.min(low[pixel] + 1, cells - 1);
    share[pixel] = inner - low[pixel];
  }
  for (let pixel = pixels - 1, next = pixels; pixel >= 0; pixel -= 1) {
    if (pixel + 1 < pixels && low[pixel] !== low[pixel + 1]) next = pixel + 1;
    end[pixel] = next;
  }
  return { low, high, share, end };
}
