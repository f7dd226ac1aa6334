import assert from 'node:assert/strict';
import path from 'node:path';
import test from 'node:test';
import { openBundle } from '../src/bundle.js';
import { decode } from '../src/decode.js';
import { Detector } from '../src/detector.js';
import { parseManifest } from '../src/manifest.js';
import { matchDetections } from '../src/match.js';
import { floats } from '../src/tensor.js';
import { ROOT, SCHEMA, assertNear, cases, get, json, onDisk, recorded, tensors, unpacked } from './goldens.js';
import { writeSafetensors } from './write_safetensors.js';

/** @typedef {import('../src/tensor.js').Tensor} Tensor */
/** @typedef {import('../src/keypoints.js').Keypoint} Keypoint */

/**
 * Compares keypoints with the golden ones, x, y, score, xx, xy, yy of each.
 *
 * @param {readonly {keypoints?: Keypoint[]}[]} found @param {ReadonlyMap<string, Tensor>} golden
 */
function assertKeypoints(found, golden) {
  assert.deepEqual(
    found.map(({ keypoints }) => keypoints?.length ?? 0),
    [...get(golden, 'found.keypoint_count').data],
  );
  const expected = get(golden, 'found.keypoints').data;
  found
    .flatMap(({ keypoints }) => keypoints ?? [])
    .forEach(({ x, y, score, covariance }, index) => {
      const [goldenX, goldenY, goldenScore, ...matrix] = expected.subarray(6 * index, 6 * index + 6);
      assertNear([x, y], [goldenX, goldenY], 1e-4, 'place');
      assertNear([score], [goldenScore], 2e-7, 'score');
      assert.equal(covariance === undefined, Number.isNaN(matrix[0]));
      covariance?.forEach((value, at) => assertNear([value], [matrix[at]], 1e-6 * Math.abs(matrix[at]), 'covariance'));
    });
}

for (const { name, settings, tensors: given } of await cases('keypoints')) {
  test(`the keypoints of ${name} are those of the Python runtime`, () => {
    const logits = get(given, 'logits');
    const classes = Array.from({ length: logits.shape[2] }, (_, index) => `c${index}`);
    const spec = /** @type {any} */ ({ ...settings, boxes: 'boxes', logits: 'logits' });
    const found = decode(get(given, 'boxes'), logits, settings, spec, classes, {
      threshold: settings.threshold,
      nmsIou: settings.nms_iou ?? undefined,
      nmsAcrossClasses: settings.nms_across_classes,
      input: settings.preprocess,
      keypoints: get(given, 'keypoints'),
    });
    assert.deepEqual(
      found.map(({ classIndex }) => classIndex),
      [...get(given, 'found.class_index').data],
    );
    const [scores, boxes] = [found.map(({ score }) => score), found.flatMap(({ box }) => box)];
    assertNear(scores, get(given, 'found.score').data, 2e-7, 'scores');
    assertNear(boxes, get(given, 'found.boxes').data, 1e-4, 'boxes');
    assertKeypoints(found, given);
  });
}

test('keypoints that are missing, of another shape or not finite are errors', async () => {
  const [{ settings, tensors: given }] = await cases('keypoints');
  const spec = /** @type {any} */ ({ ...settings, boxes: 'boxes', logits: 'logits' });
  const decoded = (/** @type {Tensor | undefined} */ keypoints) =>
    decode(get(given, 'boxes'), get(given, 'logits'), settings, spec, ['a', 'b', 'c', 'd'], { threshold: 0.5, keypoints });
  assert.throws(() => decoded(undefined), /there is no output 'keypoints'/);
  const { data, shape } = get(given, 'keypoints');
  assert.throws(() => decoded(floats(Float32Array.from(data.slice(7)), [1, 1, shape[2], 7])), /are not \[1, 40, /);
  for (const odd of [NaN, Infinity]) {
    const other = Float32Array.from(data);
    other[other.length - 1] = odd;
    assert.throws(() => decoded(floats(other, [...shape])), /'keypoints' contains NaN or infinity/);
  }
});

test('keypoints need an output that fits', async () => {
  const manifests = await json('keypoint_manifests.json');
  const named = (/** @type {string} */ name) => manifests.find((/** @type {{name: string}} */ item) => item.name === name).text;
  /** @type {[string, RegExp][]} */
  const reasons = [
    ['of_version_4', /there are keypoints, which a bundle of schema version 4 has not/],
    ['output_of_other_queries', /an output 'keypoints' of keypoints, float32 \[1, 4, 5, 7\]/],
    ['class_twice', /the keypoints of class 1 are given twice/],
    ['class_unknown', /the keypoints of class 3 are not of one of the 3 classes/],
    ['sigmas_short', /the keypoints of class 1 have 2 names and 1 sigmas/],
    ['skeleton_beyond', /the keypoints of class 1 have a skeleton that joins others than these/],
  ];
  for (const [name, reason] of reasons) assert.throws(() => parseManifest(named(`keypoints_${name}`), SCHEMA), reason);
});

/** The hand-made bundle with keypoints. */
async function withKeypoints() {
  const bundle = await openBundle(onDisk(path.join(ROOT, 'bundles/keypoints')), SCHEMA);
  const expected = await tensors('bundles/keypoints.safetensors');
  return { bundle, expected, picture: unpacked(get(expected, 'picture')) };
}

/** A detector whose graph returns recorded tensors. @param {import('../src/bundle.js').Bundle} bundle @param {Map<string, Tensor>} outputs */
function detector(bundle, outputs) {
  return new Detector(bundle, recorded(bundle.manifest.graphs.a, outputs));
}

test('the bundle detects the keypoints that Python detects, and the verdict compares them', async () => {
  const { bundle, expected, picture } = await withKeypoints();
  const golden = bundle.goldenTensors();
  const own = detector(bundle, golden);
  const { judgement, chain } = await own.judged(picture, 'fp32');
  assert.equal(judgement.verdict, 'agrees', judgement.summary);
  const { threshold } = await json('bundles/keypoints.json');
  assertKeypoints(own.detections(chain.outputs, picture, threshold), expected);
  const more = own.detections(chain.outputs, picture, 0);
  assert(more.length > 2 && more.every(({ classIndex, keypoints }) => !keypoints === (classIndex === 2)));

  const text = new TextDecoder().decode(bundle.file('golden/detections.json'));
  const written = (/** @type {(detections: any[]) => void} */ change) => {
    const data = JSON.parse(text);
    change(data.detections);
    bundle.files.set('golden/detections.json', new TextEncoder().encode(JSON.stringify(data)));
    return own.judged(picture, 'fp32');
  };
  const moved = await written((items) => (items[0].keypoints[1].x += 1));
  assert.match(moved.judgement.summary, /do not decode to the 2 detections/);
  const without = await written((items) => delete items[0].keypoints);
  assert.match(without.judgement.summary, /do not decode to the 2 detections/);
  await assert.rejects(
    written((items) => (items[0].keypoints[1].x = 'left')),
    /is not a list of detections/,
  );
  await written(() => {});

  const off = new Map([...golden].map(([name, tensor]) => [name, { ...tensor, data: tensor.data.slice() }]));
  get(off, 'keypoints').data[0] += 5;
  bundle.files.set('golden/golden.safetensors', writeSafetensors(off));
  assert.match((await own.judged(picture, 'fp32')).judgement.summary, /^graph A differs: keypoints/);
});

test('a detection whose keypoints are elsewhere is no match', () => {
  const item = {
    classIndex: 0,
    name: 'red',
    score: 0.9,
    box: /** @type {[number, number, number, number]} */ ([0, 0, 30, 40]),
  };
  const limits = { threshold: 0.3, iou: 0.99, score: 0.01, keypoint: 0.005 };
  const points = [0.9, 0.8, 0.2].map((score, at) => ({ x: 10 * at, y: 20, score }));
  const rows = (/** @type {Keypoint[] | undefined} */ one, /** @type {Keypoint[] | undefined} */ other) =>
    matchDetections([{ ...item, keypoints: one }], [{ ...item, keypoints: other }], limits);
  const changed = (/** @type {number} */ at, /** @type {Partial<Keypoint>} */ to) =>
    rows(points, points.toSpliced(at, 1, { ...points[at], ...to }))[0];
  assert.equal(changed(1, { x: 10.125 }).keypointGap, 0.0025);
  /** @type {[number, Partial<Keypoint>, string][]} */
  const cases = [
    [1, { x: 10.24 }, 'matched'],
    [1, { x: 10.26 }, 'missing'],
    [2, { x: 90 }, 'matched'], // neither side finds it
    [2, { x: 90, score: 0.6 }, 'missing'],
    [0, { score: 0.8905 }, 'matched'],
    [0, { score: 0.88 }, 'missing'],
  ];
  for (const [at, to, status] of cases) assert.equal(changed(at, to).status, status, JSON.stringify(to));
  assert.equal(rows(points, points.slice(1))[0].status, 'missing');
  assert.equal(rows(points, undefined)[0].status, 'missing');
  assert.equal(rows(undefined, points)[0].status, 'matched');
});
