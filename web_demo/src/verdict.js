/**
 * Judges a run on the bundle's golden picture, by the rules of `verify/device/judge.py`: every stage on golden inputs, so that
 * a fault is attributed to its stage, then the detections of the whole chain.
 *
 * @typedef {import('./tensor.js').Tensor} Tensor
 * @typedef {import('./compare.js').Difference} Difference
 * @typedef {import('./decode.js').Detection} Detection
 * @typedef {ReadonlyMap<string, Tensor>} Tensors
 * @typedef {import('./gpu/graph.js').Precision} Precision
 * @typedef {{stage: string, name: string, found: Difference, limit: number, good: boolean}} Compared
 * @typedef {{verdict: 'agrees' | 'differs', summary: string, compared: Compared[], rows: import('./match.js').Row[]}} Judgement
 */

import { difference, within } from './compare.js';
import { decode } from './decode.js';
import { REMAKE, UserError } from './errors.js';
import { parseForeign } from './foreign_json.js';
import { formsOf } from './manifest.js';
import { Mask, maskOf, withMasks } from './masks.js';
import { floorOf, matchDetections } from './match.js';
import { place } from './placement.js';
import { describe, fits } from './tensor.js';

/** Of a class, in a manifest too. */
const LONGEST_NAME = 256;
/** The correlation limit of stages that this page computes in float32: pre-processing and the host step. */
const HOST_LIMIT = 0.99999;

/** The lowest IoU of a mask in `golden/detections.json` with that of the golden vectors. */
const WRITTEN_MASK = 0.99;

/** The name of the selected tokens' indices that the only graph of a bundle gives. */
const INDICES = 'indices';

/** The lowest share of the reference's tokens that the only graph must select. */
const SELECTED_LIMIT = 0.9;

/**
 * Limits by precision. fp32: those of the numerics gate for float16 weights. fp16: those for a phone.
 *
 * @type {Record<import('./gpu/graph.js').Precision, {graph: number, iou: number, score: number, mask: number,
 *   keypoint: number}>}
 */
const LIMITS = {
  fp32: { graph: 0.999, iou: 0.99, score: 0.01, mask: 0.98, keypoint: 0.005 },
  fp16: { graph: 0.999, iou: 0.95, score: 0.03, mask: 0.95, keypoint: 0.02 },
};

/** The threshold down to which the chain is compared. @param {import('./bundle.js').Bundle} bundle @param {Precision} precision */
export function floorFor(bundle, precision) {
  return floorOf({ ...LIMITS[precision], threshold: bundle.manifest.golden?.threshold ?? 0 });
}

/**
 * Reads the golden vectors, which must have every stage's inputs and outputs, in both forms of the graphs.
 *
 * @param {import('./bundle.js').Bundle} bundle
 * @returns {Map<string, Tensor>}
 * @throws {UserError} a tensor is missing or has another shape.
 */
export function readGolden(bundle) {
  const { host_step: host } = bundle.manifest;
  const tensors = bundle.goldenTensors();
  const needed = formsOf(bundle.manifest, 'gpu')
    .flatMap(({ a, b, m }) => [a, b, m])
    .flatMap((graph) => (graph ? [...graph.inputs, ...graph.outputs] : []));
  for (const spec of needed) {
    const found = tensors.get(spec.name);
    if (!found || !fits(found, spec)) {
      throw new UserError(
        `the golden vector '${spec.name}' is ${found ? describe(found) : 'missing'}, not ${describe(spec)}; ${REMAKE}`,
      );
    }
  }
  for (const name of host.outputs)
    if (!tensors.has(name)) throw new UserError(`the golden vector '${name}' is missing; ${REMAKE}`);
  return tensors;
}

/**
 * Reads `golden/detections.json`.
 *
 * @param {import('./bundle.js').Bundle} bundle
 * @returns {import('./decode.js').Detection[]}
 */
export function readGoldenDetections(bundle) {
  const name = bundle.manifest.golden?.detections ?? '';
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bundle.file(name));
    const { detections } = /** @type {any} */ (parseForeign(text));
    return detections.map((/** @type {any} */ item) => {
      const { box, class_index: classIndex, name: label, score, mask, keypoints } = item;
      if (!Array.isArray(box) || box.length !== 4 || ![...box, score].every(Number.isFinite)) throw new TypeError('not a box');
      if (!Number.isInteger(classIndex) || classIndex < 0 || score < 0 || score > 1) throw new TypeError('not a detection');
      if (typeof label !== 'string' || label.length > LONGEST_NAME) throw new TypeError('not a name');
      const pixels = mask === undefined ? {} : { mask: Mask.of(mask.size?.[1], mask.size?.[0], mask.counts) };
      const points = keypoints === undefined ? {} : { keypoints: keypoints.map(readKeypoint) };
      return { classIndex, name: label, score, box, ...pixels, ...points };
    });
  } catch (error) {
    throw new UserError(`${name} is not a list of detections; ${REMAKE}`, error);
  }
}

/** @param {any} item @returns {import('./keypoints.js').Keypoint} @throws {TypeError} it is none */
function readKeypoint({ x, y, score, covariance }) {
  const numbers = [x, y, score, ...(covariance ?? [])];
  if (!numbers.every(Number.isFinite) || score < 0 || score > 1 || (covariance && covariance.length !== 3))
    throw new TypeError('not a keypoint');
  return covariance ? { x, y, score, covariance } : { x, y, score };
}

/**
 * @param {import('./bundle.js').Bundle} bundle
 * @param {{preprocess: Tensors, a: Tensors, host: Tensors, b: Tensors, m: Tensors}} given every stage's outputs on golden inputs
 * @param {{outputs: Tensors, masks: ReadonlyMap<number, Mask>}} chain of the whole chain, from the picture on: the last graph's
 *   outputs, and the masks of the detections
 * @param {{width: number, height: number}} picture the golden one's size
 * @param {import('./gpu/graph.js').Precision} precision
 * @returns {Judgement}
 */
export function judge(bundle, given, chain, picture, precision) {
  const golden = readGolden(bundle);
  const { manifest } = bundle;
  const limits = LIMITS[precision];
  /** @type {[string, Tensors, number][]} */
  const stages = [
    ['pre-processing', given.preprocess, HOST_LIMIT],
    ['graph A', given.a, limits.graph],
    ['host step', given.host, HOST_LIMIT],
    ['graph B', given.b, limits.graph],
    ['graph M', given.m, limits.graph],
  ];
  const same = given.a.has(INDICES) && !manifest.graphs.b ? sameRanks(given.a, golden) : undefined;
  const compared = stages.flatMap(([stage, tensors, limit]) =>
    [...tensors]
      .filter(([name]) => !(same && name === INDICES))
      .map(([name, tensor]) => {
        const reference = /** @type {Tensor} */ (golden.get(name));
        const [own, other] =
          same && stage === 'graph A' && isOfQueries(name, tensor, manifest.postprocess)
            ? [rowsOf(tensor, same), rowsOf(reference, same)]
            : [tensor.data, reference.data];
        const found = difference(own, other);
        return { stage, name, found, limit, good: within(found, limit) };
      }),
  );

  const { threshold } = /** @type {import('./manifest.js').Golden} */ (manifest.golden);
  const bounds = { ...limits, threshold };
  const decoded = (/** @type {Tensors} */ tensors, /** @type {number} */ least) => {
    const { boxes, logits, keypoints } = manifest.postprocess;
    const [found, scores] = [tensors.get(boxes), tensors.get(logits)];
    if (!found || !scores) throw new Error(`there is no '${boxes}' or no '${logits}'`);
    return decode(found, scores, picture, manifest.postprocess, manifest.classes, {
      threshold: least,
      input: manifest.preprocess,
      keypoints: tensors.get(keypoints?.output ?? ''),
    });
  };
  const written = readGoldenDetections(bundle);
  const masked = (/** @type {Detection[]} */ found, /** @type {ReadonlyMap<number, Mask>} */ masks) =>
    withMasks(found, masks, manifest.postprocess.masks);
  const masks = goldenMasks(bundle, golden, picture);
  const reference = masked(decoded(golden, floorOf(bounds)), masks);
  const rows = matchDetections(reference, masked(decoded(chain.outputs, floorOf(bounds)), chain.masks), bounds);
  const moved = same && otherTokens(given.a, golden, same.length);
  const own = masked(decoded(golden, threshold), masks);
  const problem = moved ?? firstProblem(compared, rows, sameDetections(written, own), written);
  if (problem) return { verdict: 'differs', summary: problem, compared, rows };
  return { verdict: 'agrees', summary: praise(compared, rows, written.length, threshold), compared, rows };
}

/**
 * The masks of the golden vectors, by query: of the queries for which graph M's golden outputs are recorded.
 *
 * @param {import('./bundle.js').Bundle} bundle @param {Tensors} golden @param {{width: number, height: number}} picture
 */
function goldenMasks({ manifest }, golden, picture) {
  const { masks: spec } = manifest.postprocess;
  /** @type {Map<number, Mask>} */
  const found = new Map();
  const [kept, logits] = [golden.get(spec?.kept ?? ''), golden.get(spec?.output ?? '')];
  if (!kept || !logits) return found;
  const placement = place(picture, manifest.preprocess);
  kept.data.forEach((query, index) => {
    if (!found.has(query)) found.set(query, maskOf(logits, index, placement, picture, manifest.preprocess, spec?.activation));
  });
  return found;
}

/**
 * The queries of the only graph that select the same token at the same rank as the reference: nearly equal scores may change
 * places, and another query stands there then.
 *
 * @param {Tensors} found
 * @param {Tensors} golden
 */
function sameRanks(found, golden) {
  const [own, other] = [found, golden].map((tensors) => /** @type {Tensor} */ (tensors.get(INDICES)).data);
  return [...own.keys()].filter((query) => own[query] === other[query]);
}

/**
 * Describes a selection that is not the reference's.
 *
 * @param {Tensors} found
 * @param {Tensors} golden
 * @param {number} same queries at the same rank
 * @returns {string | undefined}
 */
function otherTokens(found, golden, same) {
  const [own, other] = [found, golden].map((tensors) => new Set(/** @type {Tensor} */ (tensors.get(INDICES)).data));
  const share = [...other].filter((token) => own.has(token)).length / other.size;
  if (share >= SELECTED_LIMIT && same > 0) return undefined;
  return (
    `graph A differs: it selects ${Math.round(share * 100)} % of the reference's tokens, ${same} at the same rank ` +
    `(limit ${SELECTED_LIMIT * 100} %)`
  );
}

/**
 * Whether a tensor has values of each query: [1, queries, values] and the keypoints, but not a map, as of the cells' embeddings.
 *
 * @param {string} name @param {Tensor} tensor @param {import('./manifest.js').Postprocess} post
 */
function isOfQueries(name, { shape }, { keypoints }) {
  return shape.length === 3 || name === keypoints?.output;
}

/** The values of some queries of a tensor [1, queries, ...]. @param {Tensor} tensor @param {readonly number[]} queries */
function rowsOf({ data, shape }, queries) {
  const width = data.length / shape[1];
  return queries.flatMap((query) => [...data.subarray(query * width, (query + 1) * width)]);
}

/**
 * Whether decoding the golden boxes and logits gives the detections in the file.
 *
 * @param {import('./decode.js').Detection[]} written
 * @param {import('./decode.js').Detection[]} own
 */
function sameDetections(written, own) {
  return (
    written.length === own.length &&
    written.every((item, index) => {
      const other = own[index];
      const apart = Math.max(...item.box.map((edge, side) => Math.abs(edge - other.box[side])));
      return (
        item.classIndex === other.classIndex &&
        item.name === other.name &&
        Math.abs(item.score - other.score) <= 1e-5 &&
        apart <= 1e-2 &&
        (!item.mask || !other.mask || item.mask.iou(other.mask) >= WRITTEN_MASK) &&
        sameKeypoints(item.keypoints, other.keypoints)
      );
    })
  );
}

/**
 * @param {import('./keypoints.js').Keypoint[] | undefined} written
 * @param {import('./keypoints.js').Keypoint[] | undefined} own
 */
function sameKeypoints(written, own) {
  if (!written || !own) return written === own;
  const near = (/** @type {import('./keypoints.js').Keypoint} */ one, /** @type {import('./keypoints.js').Keypoint} */ other) =>
    Math.hypot(one.x - other.x, one.y - other.y) <= 1e-2 && Math.abs(one.score - other.score) <= 1e-5;
  return written.length === own.length && written.every((item, index) => near(item, own[index]));
}

/**
 * @param {Compared[]} compared
 * @param {import('./match.js').Row[]} rows
 * @param {boolean} sound
 * @param {unknown[]} written
 * @returns {string | undefined}
 */
function firstProblem(compared, rows, sound, written) {
  const wrong = compared.find((item) => !item.good);
  if (wrong) {
    return (
      `${wrong.stage} differs: ${wrong.name} has correlation ${wrong.found.correlation.toFixed(5)} and largest error ` +
      `${wrong.found.maxAbsError.toPrecision(3)} (limit ${wrong.limit})`
    );
  }
  if (!sound) return `the golden boxes and logits do not decode to the ${written.length} detections of golden/detections.json`;
  const lost = rows.find((row) => row.status === 'missing' || row.status === 'extra');
  const item = lost?.reference ?? lost?.candidate;
  return lost && item
    ? `every stage agrees separately, but the chain's detections do not: ${item.name} ${item.score.toFixed(3)} is ${lost.status}`
    : undefined;
}

/** @param {Compared[]} compared @param {import('./match.js').Row[]} rows @param {number} written @param {number} threshold */
function praise(compared, rows, written, threshold) {
  const lowest = compared.reduce((worst, item) => (item.found.correlation < worst.found.correlation ? item : worst));
  const figure = `${lowest.found.correlation.toFixed(7)} (${lowest.stage}, ${lowest.name})`;
  const summary = `${compared.length} tensors agree, lowest correlation ${figure}`;
  if (!written)
    return `${summary}; PyTorch detects nothing above ${threshold} in this picture, so detections were not compared`;
  const matched = rows.filter((row) => row.status === 'matched');
  const count = `${matched.length} ${matched.length === 1 ? 'detection' : 'detections'}`;
  const masks = matched.flatMap(({ maskIou }) => (maskIou === undefined ? [] : [maskIou]));
  const instances = masks.length ? `, lowest IoU of masks ${Math.min(...masks).toFixed(4)}` : '';
  const gaps = matched.flatMap(({ keypointGap }) => (keypointGap === undefined ? [] : [keypointGap]));
  const points = gaps.length ? `, keypoints within ${(100 * Math.max(...gaps)).toFixed(2)} % of the box's diagonal` : '';
  return `${summary}; ${count} matched with PyTorch's, none missing, none extra${instances}${points}`;
}
