import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import { openBundle } from '../src/bundle.js';
import { Detector } from '../src/detector.js';
import { writeSafetensors } from './write_safetensors.js';
import { ROOT, SCHEMA, assertClose, assertNear, get, json, onDisk, scaleOf, tensors, unpacked } from './goldens.js';

/** @typedef {import('../src/tensor.js').Tensor} Tensor */

/**
 * A graph that returns recorded tensors instead of running on a GPU.
 *
 * @param {ReadonlyMap<string, Tensor>} outputs
 * @returns {import('../src/detector.js').Graph}
 */
function recorded(outputs) {
  return {
    run: async () => ({ outputs: new Map(outputs), times: { write: 1, run: 2, read: 3 }, dispatches: 1 }),
    delete() {},
  };
}

/** A detector whose graphs return golden tensors. @param {string} name @param {import('../src/bundle.js').Bundle} [bundle] */
async function detector(name, bundle) {
  const own = bundle ?? (await openBundle(onDisk(path.join(ROOT, 'bundles', name)), SCHEMA));
  const golden = own.goldenTensors();
  const pick = (/** @type {import('../src/tensor.js').TensorSpec[]} */ specs) =>
    new Map(specs.map((spec) => [spec.name, get(golden, spec.name)]));
  const { a, b, m } = own.manifest.graphs;
  return new Detector(own, recorded(pick(a.outputs)), b && recorded(pick(b.outputs)), m && recorded(pick(m.outputs)));
}

const names = (await readdir(path.join(ROOT, 'bundles'), { withFileTypes: true }))
  .filter((item) => item.isDirectory())
  .map((item) => item.name);

for (const name of names) {
  test(`${name}: every stage equals the Python runtime`, async () => {
    const own = await detector(name);
    const { manifest } = own.bundle;
    const expected = await tensors(`bundles/${name}.safetensors`);
    const { threshold } = await json(`bundles/${name}.json`);
    const picture = unpacked(get(expected, 'picture'));
    assertClose(get(own.input(picture), manifest.graphs.a.inputs[0].name), get(expected, 'input'), 1e-5, 'input');

    const golden = own.bundle.goldenTensors();
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
 * hand_made with some files' contents replaced, without new hashes.
 *
 * @param {Record<string, Uint8Array<ArrayBuffer>>} changed
 */
async function changedBundle(changed) {
  const bundle = await openBundle(onDisk(path.join(ROOT, 'bundles/hand_made')), SCHEMA);
  for (const [name, bytes] of Object.entries(changed)) bundle.files.set(name, bytes);
  return bundle;
}

test('a difference in any stage is detected and named', async () => {
  const sound = await detector('hand_made');
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
    const bundle = await changedBundle({ 'golden/golden.safetensors': writeSafetensors(off) });
    const own = new Detector(bundle, sound.graphA, sound.graphB);
    const { judgement } = await own.judged(picture, 'fp32');
    assert.equal(judgement.verdict, 'differs');
    assert.match(judgement.summary, message);
  }
});

test('one graph: queries are compared at the same rank, and another selection is refused', async () => {
  const sound = await detector('one_graph');
  const golden = sound.bundle.goldenTensors();
  const picture = unpacked(get(await tensors('bundles/one_graph.safetensors'), 'picture'));
  assert.equal(sound.graphB, undefined);
  const { chain } = await sound.judged(picture, 'fp32');
  assert.deepEqual([chain.times.b, chain.dispatches.b, chain.times.host], [undefined, undefined, 0]);

  /** @param {Record<string, (data: Float32Array | Int32Array) => void>} changes */
  const changed = (changes) => {
    const outputs = new Map([...golden].map(([name, tensor]) => [name, { ...tensor, data: tensor.data.slice() }]));
    for (const [name, change] of Object.entries(changes)) change(get(outputs, name).data);
    return new Detector(sound.bundle, recorded(outputs));
  };
  // The last two queries, both black cells, change places: their boxes differ, at ranks that are not compared.
  const swap = (/** @type {number} */ width) => (/** @type {Float32Array | Int32Array} */ data) => {
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
  const bundle = await changedBundle({ 'golden/detections.json': new TextEncoder().encode(JSON.stringify(detections)) });
  const picture = unpacked(get(await tensors('bundles/hand_made.safetensors'), 'picture'));
  const { judgement } = await (await detector('hand_made', bundle)).judged(picture, 'fp32');
  assert.match(judgement.summary, /do not decode to the 1 detections/);
  bundle.files.set('golden/detections.json', new TextEncoder().encode('{"detections": [{}]}'));
  await assert.rejects(
    async () => (await detector('hand_made', bundle)).judged(picture, 'fp32'),
    /is not a list of detections/,
  );
});

test('golden vectors that lack a stage are refused', async () => {
  const golden = (await detector('hand_made')).bundle.goldenTensors();
  golden.delete('selected_cells');
  const bundle = await changedBundle({ 'golden/golden.safetensors': writeSafetensors(golden) });
  const own = new Detector(bundle, recorded(golden), recorded(golden));
  await assert.rejects(own.judged({ width: 1, height: 1, data: new Uint8Array(4) }, 'fp32'), /'selected_cells' is missing/);
});
