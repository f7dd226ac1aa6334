import assert from 'node:assert/strict';
import path from 'node:path';
import test from 'node:test';
import { openBundle } from '../src/bundle.js';
import { Detector } from '../src/detector.js';
import { maskLayer } from '../src/mask_layer.js';
import { Mask, maskOf } from '../src/masks.js';
import { matchDetections } from '../src/match.js';
import { place } from '../src/placement.js';
import { floats } from '../src/tensor.js';
import { ROOT, SCHEMA, cases, get, json, onDisk, recorded, tensors, unpacked } from './goldens.js';
import { writeSafetensors } from './write_safetensors.js';

/** @typedef {import('../src/tensor.js').Tensor} Tensor */

for (const { name, settings, tensors: given } of await cases('masks')) {
  test(`the masks of ${name} are those of the Python runtime, pixel by pixel`, () => {
    const { width, height, preprocess, counts, activation, counts_within: within } = settings;
    const placement = place(settings, preprocess);
    counts.forEach((/** @type {string} */ expected, /** @type {number} */ index) => {
      const mask = maskOf(get(given, 'logits'), index, placement, settings, preprocess, activation);
      const [left, top, right, bottom] = get(given, 'boxes').data.slice(4 * index, 4 * index + 4);
      assert.equal(mask.counts, expected, `mask ${index}`);
      assert.equal(mask.within([left, top, right, bottom]).counts, within[index], `mask ${index} within its box`);
      const read = Mask.of(width, height, expected);
      assert.deepEqual([read.runs, read.iou(mask), read.area], [mask.runs, 1, mask.area]);
    });
  });
}

test('segments and intersections are those of the pixels', () => {
  /** @param {Mask} mask */
  const pixels = (mask) => {
    const drawn = new Uint8Array(mask.width * mask.height);
    mask.forEachSegment((column, from, until) => {
      for (let row = from; row < until; row += 1) drawn[row * mask.width + column] = 1;
    });
    return drawn;
  };
  const masks = [[0, 4, 2], [3, 1, 1, 1], [6], [0, 6], [1, 2, 3]].map((runs) => new Mask(3, 2, runs));
  assert.deepEqual([...pixels(masks[1])], [0, 0, 0, 0, 1, 1]);
  for (const one of masks) {
    for (const other of masks) {
      const [a, b] = [pixels(one), pixels(other)];
      const both = a.reduce((sum, value, index) => sum + (value & b[index]), 0);
      const any = a.reduce((sum, value, index) => sum + (value | b[index]), 0);
      assert.equal(one.iou(other), any ? both / any : 1, `${one.runs} and ${other.runs}`);
    }
  }
  assert.equal(masks[0].iou(new Mask(2, 3, [0, 4, 2])), 0, 'of another size');
});

for (const { name, settings, tensors: given } of await cases('mask_layers')) {
  test(`the layer of the masks of ${name} is that of the Python runtime`, () => {
    const { width, height, masks } = settings;
    const found = masks.map((/** @type {any} */ mask) => ({
      classIndex: mask.class_index,
      mask: Mask.of(mask.width, mask.height, mask.counts),
    }));
    const layer = maskLayer(found, { width, height });
    const expected = [...get(given, 'layer').data].flatMap((argb) =>
      [argb >> 16, argb >> 8, argb, argb >> 24].map((v) => v & 255),
    );
    assert.deepEqual([...(layer ?? [])], layer ? expected : []);
    assert.equal(layer === undefined, masks.length === 0);
  });
}

test('damaged run lengths are refused', () => {
  for (const counts of ['~', '0'.repeat(54), '', 'P', 'o'.repeat(20), '@', '100O', 7, undefined])
    assert.throws(() => Mask.of(6, 9, counts), RangeError, String(counts));
  assert.throws(() => Mask.of(0, 9, '0'), /not a mask/);
});

test('a detection with another mask is no match', () => {
  const item = { classIndex: 0, name: 'red', score: 0.9, box: /** @type {[number, number, number, number]} */ ([0, 0, 3, 2]) };
  const [one, other] = [new Mask(3, 2, [0, 4, 2]), new Mask(3, 2, [0, 3, 3])];
  const limits = { threshold: 0.5, iou: 0.9, score: 0.01, mask: 0.8 };
  const status = (/** @type {Mask | undefined} */ a, /** @type {Mask | undefined} */ b) =>
    matchDetections([{ ...item, mask: a }], [{ ...item, mask: b }], limits).map((row) => row.status);
  assert.deepEqual(status(one, one), ['matched']);
  assert.deepEqual(status(undefined, other), ['matched']);
  assert.deepEqual(status(one, other), ['missing', 'extra']);
  assert.deepEqual(status(one, undefined), ['missing', 'extra']);
});

/** The hand-made bundle with masks, and its golden vectors with some replaced. @param {Record<string, Tensor>} [changed] */
async function withMasks(changed = {}) {
  const bundle = await openBundle(onDisk(path.join(ROOT, 'bundles/masks')), SCHEMA);
  return { bundle, outputs: new Map([...bundle.goldenTensors(), ...Object.entries(changed)]) };
}

/** Graph M as the hand-made bundle's: the product of the cells with the queries kept, less one half. */
function product() {
  /** @type {number[][]} */
  const calls = [];
  const run = async (/** @type {ReadonlyMap<string, Tensor>} */ given) => {
    const [kept, queries, cells] = ['kept', 'mask_queries', 'mask_cells'].map((name) => get(given, name).data);
    calls.push([...kept]);
    const data = Float32Array.from({ length: 16 * kept.length }, (_, at) => {
      const [cell, query] = [Math.floor(at / kept.length), kept[at % kept.length]];
      return [0, 1, 2].reduce((sum, channel) => sum + cells[cell * 3 + channel] * queries[query * 3 + channel], -0.5);
    });
    const outputs = new Map([['masks', floats(data, [1, 4, 4, kept.length])]]);
    return { outputs, times: { write: 1, run: 2, read: 3 }, dispatches: 4 };
  };
  return { graph: { run, delete() {} }, calls };
}

test('the masks are those of the Python runtime, and the verdict compares them', async () => {
  const { bundle, outputs } = await withMasks();
  const expected = await json('bundles/masks.json');
  const picture = unpacked(get(await tensors('bundles/masks.safetensors'), 'picture'));
  const { graph } = product();
  const sound = new Detector(bundle, recorded(bundle.manifest.graphs.a, outputs), undefined, graph);
  const { judgement, chain } = await sound.judged(picture, 'fp32');
  assert.equal(judgement.verdict, 'agrees', judgement.summary);
  assert.match(judgement.summary, /2 detections matched .* lowest IoU of masks 1\.0000$/);
  assert.deepEqual([...new Set(judgement.compared.map(({ stage }) => stage))], ['pre-processing', 'graph A', 'graph M']);
  const found = sound.detections(chain.outputs, picture, expected.threshold, chain.masks);
  assert.deepEqual(
    found.map(({ mask }) => mask?.counts),
    expected.masks,
  );
  assert.deepEqual([chain.dispatches.m, chain.times.m], [4, { write: 1, run: 2, read: 3 }]);

  const negated = { ...graph, run: async (/** @type {any} */ given) => negate(await graph.run(given)) };
  const wrong = await new Detector(bundle, recorded(bundle.manifest.graphs.a, outputs), undefined, negated).judged(
    picture,
    'fp32',
  );
  assert.match(wrong.judgement.summary, /^graph M differs: masks/);

  const text = new TextDecoder().decode(bundle.file('golden/detections.json'));
  const other = JSON.parse(text);
  other.detections[0].mask.counts = other.detections[1].mask.counts;
  bundle.files.set('golden/detections.json', new TextEncoder().encode(JSON.stringify(other)));
  assert.match((await sound.judged(picture, 'fp32')).judgement.summary, /do not decode to the 2 detections/);
  other.detections[0].mask.counts = '~';
  bundle.files.set('golden/detections.json', new TextEncoder().encode(JSON.stringify(other)));
  await assert.rejects(sound.judged(picture, 'fp32'), /is not a list of detections/);
  const golden = bundle.goldenTensors();
  golden.delete('kept');
  bundle.files.set('golden/golden.safetensors', writeSafetensors(golden));
  await assert.rejects(sound.judged(picture, 'fp32'), /'kept' is missing/);
});

/** @template {{outputs: Map<string, Tensor>}} R @param {R} run @returns {R} */
function negate(run) {
  for (const { data } of run.outputs.values()) data.forEach((value, index) => (data[index] = -value));
  return run;
}

test('graph M runs for the queries of detections, each once and as many at a time as it takes', async () => {
  const logits = new Float32Array(12).fill(-9);
  [0, 4, 8, 6, 10].forEach((at, rank) => (logits[at] = 5 - rank));
  const queries = Float32Array.from({ length: 12 }, (_, at) => at / 12);
  const { bundle, outputs } = await withMasks({
    logits: floats(logits, [1, 4, 3]),
    mask_queries: floats(queries, [1, 4, 3]),
  });
  const { graph, calls } = product();
  const own = new Detector(bundle, recorded(bundle.manifest.graphs.a, outputs), undefined, graph);
  const picture = { width: 90, height: 62, data: new Uint8Array(90 * 62 * 4) };
  const run = await own.run(picture);
  const shown = (/** @type {number} */ threshold) => own.detections(run.outputs, picture, threshold, run.masks);
  assert.deepEqual(
    shown(0.5).map(({ query, mask }) => [query, mask]),
    [0, 1, 2, 2].map((query) => [query, undefined]),
  );
  await own.addMasks(run, shown(0.99), picture);
  assert.deepEqual(calls, [[0, 0]]);
  await own.addMasks(run, shown(0.5), picture);
  assert.deepEqual(calls.slice(1), [[1, 2]], 'those that lack');
  const found = shown(0.5);
  assert.deepEqual([found[0].mask?.width, found[0].mask?.height], [90, 62]);
  assert.equal(found[2].mask, found[3].mask);
  await own.addMasks(run, [], picture);
  assert.equal(calls.length, 2);
});
