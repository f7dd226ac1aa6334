import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import { Bundle, openBundle } from '../src/bundle.js';
import { Detector } from '../src/detector.js';
import { formsOf, parseManifest } from '../src/manifest.js';
import { writeSafetensors } from './write_safetensors.js';
import { ROOT, SCHEMA, assertClose, assertNear, get, json, onDisk, recorded, scaleOf, tensors, unpacked } from './goldens.js';

const GOLDEN = 'golden/golden.safetensors';

/** @param {string} name */
const opened = (name) => openBundle(onDisk(path.join(ROOT, 'bundles', name)), SCHEMA);

/**
 * A detector whose graphs, in one form, return golden tensors.
 *
 * @param {import('../src/bundle.js').Bundle} bundle
 * @param {import('../src/manifest.js').Form} [form]
 */
function detector(bundle, form = 'portable') {
  const golden = bundle.goldenTensors();
  const played = (/** @type {import('../src/manifest.js').GraphSpec} */ spec) =>
    recorded(spec, new Map(spec.outputs.map(({ name }) => [name, get(golden, name)])));
  const graphs = formsOf(bundle.manifest, 'gpu').find((item) => item.form === form);
  assert(graphs, `no ${form} form`);
  const { a, b, m } = graphs;
  return new Detector(bundle, played(a), b && played(b), m && played(m));
}

const names = (await readdir(path.join(ROOT, 'bundles'), { withFileTypes: true }))
  .filter((item) => item.isDirectory())
  .map((item) => item.name);

const bundles = await Promise.all(names.map(async (name) => ({ name, bundle: await opened(name) })));
const inForms = bundles.flatMap((item) => formsOf(item.bundle.manifest, 'gpu').map((graphs) => ({ ...item, ...graphs })));

for (const { name, bundle, form, a } of inForms) {
  test(`${name}, ${form}: every stage equals the Python runtime`, async () => {
    const { manifest } = bundle;
    const own = detector(bundle, form);
    const expected = await tensors(`bundles/${name}.safetensors`);
    const { threshold } = await json(`bundles/${name}.json`);
    const picture = unpacked(get(expected, 'picture'));
    const golden = bundle.goldenTensors();
    const [image] = a.inputs;
    const [input, tolerance] = image.dtype === 'uint8' ? [get(golden, image.name), 0] : [get(expected, 'input'), 1e-5];
    assertClose(get(own.input(picture), image.name), input, tolerance, 'input');

    for (const [output, value] of own.hostStep.run(golden)) {
      assertClose(value, get(golden, output), 1e-5 * scaleOf(value), output);
    }
    const { judgement, chain } = await own.judged(picture, 'fp32');
    assert.equal(judgement.verdict, 'agrees', judgement.summary);
    assert(judgement.compared.length >= (manifest.graphs.b ? 5 : 3));
    const found = own.detections(chain.outputs, picture, threshold);
    assert.deepEqual(
      found.map((item) => item.classIndex),
      [...get(expected, 'found.class_index').data],
    );
    assertNear(
      found.map((item) => item.score),
      get(expected, 'found.score').data,
      2e-7,
      'scores',
    );
    assertNear(
      found.flatMap((item) => item.box),
      get(expected, 'found.boxes').data,
      1e-4,
      'boxes',
    );
  });
}

/**
 * A bundle with some files' contents replaced, without new hashes.
 *
 * @param {Bundle} bundle
 * @param {Record<string, Uint8Array<ArrayBuffer>>} changed
 */
function changedBundle({ label, manifest, files }, changed) {
  return new Bundle(label, manifest, new Map([...files, ...Object.entries(changed)]));
}

test('a difference in any stage is detected and named', async () => {
  const sound = detector(await opened('hand_made'));
  const golden = sound.bundle.goldenTensors();
  const picture = unpacked(get(await tensors('bundles/hand_made.safetensors'), 'picture'));
  /** @type {[string, RegExp][]} */
  const places = [
    ['image', /^pre-processing differs: image/],
    ['memory', /^graph A differs: memory/],
    ['selected_cells', /^host step differs: selected_cells/],
    ['logits', /^graph B differs: logits/],
  ];
  for (const [name, message] of places) {
    const off = new Map([...golden].map(([key, tensor]) => [key, { ...tensor, data: tensor.data.slice() }]));
    const { data } = get(off, name);
    data[data.length - 1] += 1.5;
    const bundle = changedBundle(sound.bundle, { [GOLDEN]: writeSafetensors(off) });
    const own = new Detector(bundle, sound.graphA, sound.graphB);
    const { judgement } = await own.judged(picture, 'fp32');
    assert.equal(judgement.verdict, 'differs');
    assert.match(judgement.summary, message);
  }
});

test('one graph: queries are compared at the same rank, and another selection is refused', async () => {
  const sound = detector(await opened('one_graph'));
  const golden = sound.bundle.goldenTensors();
  const picture = unpacked(get(await tensors('bundles/one_graph.safetensors'), 'picture'));
  assert.equal(sound.graphB, undefined);
  const { chain } = await sound.judged(picture, 'fp32');
  assert.deepEqual([chain.times.b, chain.dispatches.b, chain.times.host], [undefined, undefined, 0]);

  /** @param {Record<string, (data: import('../src/tensor.js').Values) => void>} changes */
  const changed = (changes) => {
    const outputs = new Map([...golden].map(([name, tensor]) => [name, { ...tensor, data: tensor.data.slice() }]));
    for (const [name, change] of Object.entries(changes)) change(get(outputs, name).data);
    return new Detector(sound.bundle, recorded(sound.graphA.spec, outputs));
  };
  // The last two queries, both black cells, change places: their boxes differ, at ranks that are not compared.
  const swap = (/** @type {number} */ width) => (/** @type {import('../src/tensor.js').Values} */ data) => {
    const last = data.slice(-width);
    data.copyWithin(data.length - width, data.length - 2 * width, data.length - width);
    data.set(last, data.length - 2 * width);
  };
  const swapped = changed({ boxes: swap(4), logits: swap(3), indices: swap(1) });
  assert.equal((await swapped.judged(picture, 'fp32')).judgement.verdict, 'agrees');
  const wrong = changed({ boxes: swap(4) });
  assert.match((await wrong.judged(picture, 'fp32')).judgement.summary, /^graph A differs: boxes/);
  const others = changed({ indices: (data) => data.fill(9) });
  assert.match((await others.judged(picture, 'fp32')).judgement.summary, /^graph A differs: it selects 0 % of the reference/);
});

test('golden detections that differ from the golden vectors are detected', async () => {
  const detections = { width: 8, height: 8, detections: [{ class_index: 0, name: 'red', score: 0.7, box: [0, 0, 1, 1] }] };
  const changed = { 'golden/detections.json': new TextEncoder().encode(JSON.stringify(detections)) };
  const bundle = changedBundle(await opened('hand_made'), changed);
  const picture = unpacked(get(await tensors('bundles/hand_made.safetensors'), 'picture'));
  const { judgement } = await detector(bundle).judged(picture, 'fp32');
  assert.match(judgement.summary, /do not decode to the 1 detections/);
  bundle.files.set('golden/detections.json', new TextEncoder().encode('{"detections": [{}]}'));
  await assert.rejects(detector(bundle).judged(picture, 'fp32'), /is not a list of detections/);
});

test('golden vectors that lack a stage are refused', async () => {
  const sound = detector(await opened('hand_made'));
  const golden = sound.bundle.goldenTensors();
  golden.delete('selected_cells');
  const bundle = changedBundle(sound.bundle, { [GOLDEN]: writeSafetensors(golden) });
  const own = new Detector(bundle, sound.graphA, sound.graphB);
  await assert.rejects(own.judged({ width: 1, height: 1, data: new Uint8Array(4) }, 'fp32'), /'selected_cells' is missing/);
});

/**
 * The bundle `native` with pixels for its native graph A; its golden picture is of the input's size, so that no resize changes it.
 *
 * @param {import('../src/preprocess.js').Picture} picture the golden one
 */
async function takingPixels({ width, height, data }) {
  const { manifest, files } = await opened('native');
  const { preprocess, native } = manifest;
  assert.deepEqual([preprocess.width, preprocess.height], [width, height]);
  const changed = {
    ...manifest,
    schema_version: 6,
    preprocess: { ...preprocess, resize: 'bilinear_8bit' },
    native: { ...native, a: native?.b, pixels: 'pixels' },
  };
  const bundle = new Bundle('pixels', parseManifest(JSON.stringify(changed), SCHEMA), files);
  const golden = bundle.goldenTensors();
  golden.set('pixels', {
    dtype: 'uint8',
    shape: [1, height, width, 3],
    data: Uint8Array.from(data).filter((_, at) => at % 4 < 3),
  });
  return changedBundle(bundle, { [GOLDEN]: writeSafetensors(golden) });
}

test('a native form that takes pixels is fed and judged with them, and the portable one with floats', async () => {
  const picture = unpacked(get(await tensors('bundles/native.safetensors'), 'picture'));
  const bundle = await takingPixels(picture);
  for (const [form, name] of /** @type {const} */ ([
    ['native', 'pixels'],
    ['portable', 'image'],
  ])) {
    const own = detector(bundle, form);
    assertClose(get(own.input(picture), name), get(bundle.goldenTensors(), name), 0, name);
    const { judgement } = await own.judged(picture, 'fp32');
    assert.equal(judgement.verdict, 'agrees', judgement.summary);
    assert.deepEqual([judgement.compared[0].stage, judgement.compared[0].name], ['pre-processing', name]);
  }
});

test('golden pixels that differ or are missing are detected', async () => {
  const picture = unpacked(get(await tensors('bundles/native.safetensors'), 'picture'));
  const sound = await takingPixels(picture);
  const golden = sound.goldenTensors();
  const pixels = get(golden, 'pixels');
  const off = new Map([
    ...golden,
    ['pixels', { ...pixels, data: pixels.data.map((value, at) => (at === 0 ? value ^ 64 : value)) }],
  ]);
  const wrong = changedBundle(sound, { [GOLDEN]: writeSafetensors(off) });
  assert.match((await detector(wrong, 'native').judged(picture, 'fp32')).judgement.summary, /^pre-processing differs: pixels/);
  assert.equal((await detector(wrong, 'portable').judged(picture, 'fp32')).judgement.verdict, 'agrees');

  golden.delete('pixels');
  const lacking = changedBundle(sound, { [GOLDEN]: writeSafetensors(golden) });
  for (const form of /** @type {const} */ (['native', 'portable'])) {
    const judged = detector(lacking, form).judged(picture, 'fp32');
    await assert.rejects(judged, /'pixels' is missing, not uint8\[1, 8, 8, 3\]/);
  }
});
