/** Tests the page in a real browser: bundles that agree, planted faults, refusals, choices. The variables are harness.js's. */

import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import {
  FILES,
  GOLDENS,
  HAND_MADE,
  SECONDS,
  SHOTS,
  address,
  chosen,
  formShown,
  nudged,
  planted,
  scaled,
  scratch,
  server,
  settled,
  shared,
  startPage,
  visit,
} from './harness.js';

startPage();

test('without a bundle the page shows how to open one, and names the GPU', async () => {
  await shared.goto(`${address}/web_demo/`);
  const { state, text } = await settled(shared);
  assert.equal(state, 'idle', text);
  assert.match(text, /^Choose a folder/);
  assert.match(await shared.evaluate('document.querySelector("#verdict-note").textContent'), /swiftshader/i);
});

test('the hand-made bundle agrees, and its detections are drawn', async () => {
  const { state, text, report } = await chosen(HAND_MADE);
  assert.equal(state, 'agrees', text);
  assert.deepEqual(
    report.found.map((/** @type {any} */ item) => item.name),
    ['red', 'green'],
  );
  assert(report.chain.dispatches.a > 0 && report.chain.dispatches.b > 0);
  const coloured = await shared.evaluate(`(() => {
    const canvas = document.querySelector('canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size;
  })()`);
  assert(coloured > 20, `${coloured} colours on the canvas`);
  assert.equal(
    await shared.evaluate(
      'Math.abs(document.querySelector("canvas").clientWidth - document.querySelector("canvas").clientHeight) < 1',
    ),
    true,
  );
});

/** @type {[string, string, (bytes: Buffer) => Uint8Array, boolean, string, RegExp][]} */
const PLANTED = [
  [
    'a golden vector of graph A',
    'golden/golden.safetensors',
    nudged('memory', 1.5),
    false,
    'differs',
    /^graph A differs: memory/,
  ],
  [
    'a golden vector of graph B',
    'golden/golden.safetensors',
    nudged('logits', 30),
    false,
    'differs',
    /^graph B differs: logits/,
  ],
  ['a constant of the host step', 'host_params.safetensors', scaled('cells'), false, 'differs', /^host step differs/],
  [
    'a golden detection',
    'golden/detections.json',
    (bytes) => Buffer.from(bytes.toString().replace('"red"', '"rad"')),
    false,
    'differs',
    /do not decode to the 2/,
  ],
  [
    'a byte that the hash does not know of',
    'graph_b.tflite',
    (bytes) => Buffer.concat([bytes.subarray(0, -1), Buffer.of(bytes[bytes.length - 1] ^ 1)]),
    true,
    'refused',
    /graph_b\.tflite is damaged or changed \(its sha256/,
  ],
  ['a file cut short', 'labels.txt', (bytes) => bytes.subarray(1), true, 'refused', /labels\.txt is cut short/],
  [
    'a newer schema',
    'manifest.json',
    (bytes) => Buffer.from(bytes.toString().replace('"schema_version": 2', '"schema_version": 7')),
    true,
    'refused',
    /schema version 7 but this page reads up to 6; use a newer page, or make the bundle again/,
  ],
];

for (const [what, file, change, staleHash, expected, message] of PLANTED) {
  test(`planted: ${what} is detected`, async () => {
    const { state, text, report } = await chosen(await planted(file, change, { staleHash }));
    assert.equal(state, expected, text);
    assert.match(text, message);
    assert.equal(report === null, expected === 'refused', "nothing is left of the last bundle's results");
  });
}

test('what is not a bundle is refused', async () => {
  const [empty, text] = [path.join(scratch, 'empty'), path.join(scratch, 'text.zip')];
  await mkdir(empty);
  await writeFile(path.join(empty, 'notes.txt'), 'no bundle');
  await writeFile(text, 'no zip');
  /** @type {[string, RegExp][]} */
  const cases = [
    [empty, /^empty has no manifest\.json at the top level/],
    [text, /^text\.zip is not a readable \.zip/],
    [await planted('manifest.json', () => Buffer.from('{'), { staleHash: true }), /^manifest\.json is not JSON/],
  ];
  for (const [given, message] of cases) {
    const { state, text: said } = await chosen(given);
    assert.equal(state, 'refused');
    assert.match(said, message);
  }
});

test('a graph that the GPU does not accept whole is refused with the operator, and never runs on the CPU', async () => {
  for (const [name, rest] of /** @type {[string, RegExp][]} */ ([
    ['partly', /remaining 1 operations will run on the CPU/],
    ['wholly', /all 2 operations will run on the CPU/],
  ])) {
    const { state, text, report } = await chosen(path.join(FILES, name));
    assert.equal(state, 'refused');
    assert.match(text, /the GPU does not run all of graph_b\.tflite.*RELU_0_TO_1/);
    assert.match(text, rest);
    assert.equal(report, null);
  }
});

test('a bundle of one graph agrees: the GPU selects, and the page has no host step', async () => {
  const { state, text, report } = await chosen(path.join(GOLDENS, 'bundles/one_graph'));
  assert.equal(state, 'agrees', text);
  assert.deepEqual(
    report.found.map((/** @type {any} */ item) => item.name),
    ['red', 'green'],
  );
  assert(report.chain.dispatches.a > 0);
  assert.deepEqual([report.chain.dispatches.b, report.chain.times.b], [undefined, undefined]);
  const { note } = await formShown();
  assert.match(note, /The only graph, in its portable form, ran entirely on/);
  assert.doesNotMatch(await shared.evaluate('document.querySelector("#times").innerText'), /Host step|Graph B/);
});

test('a bundle without golden vectors runs, and the page reports that nothing was compared', async () => {
  const bare = await planted(
    'manifest.json',
    (bytes) => {
      const { golden, ...rest } = JSON.parse(bytes.toString());
      assert(golden);
      return Buffer.from(JSON.stringify(rest));
    },
    { staleHash: true },
  );
  const { state, text } = await chosen(bare);
  assert.equal(state, 'no golden');
  assert.match(text, /nothing was compared; choose a picture/);
  await shared.choose('#choose-picture', path.join(HAND_MADE, 'golden/image.png'));
  await shared.until('globalThis.report?.found?.length === 2 && !document.body.hasAttribute("aria-busy")', SECONDS);
});

test('a .zip can be chosen, and then another picture; an invalid picture leaves the verdict unchanged', async () => {
  assert.equal((await chosen(path.join(FILES, 'bundle.zip'))).state, 'agrees');
  const wrong = [
    ['labels.txt', /labels\.txt is not a picture/],
    ['graph_a.tflite', /graph_a\.tflite is one file of a bundle; give the whole folder/],
  ];
  for (const [name, message] of /** @type {[string, RegExp][]} */ (wrong)) {
    await shared.evaluate('document.querySelector("#picture-problem").hidden = true');
    await shared.choose('#choose-picture', path.join(HAND_MADE, name));
    await shared.until('!document.querySelector("#picture-problem").hidden');
    assert.match(await shared.evaluate('document.querySelector("#picture-problem").textContent'), message);
  }
  await shared.choose('#choose-picture', path.join(FILES, 'other.png'));
  await shared.until('report.found.length === 1 && !document.body.hasAttribute("aria-busy")', SECONDS);
  const { state, report } = await settled(shared);
  assert.deepEqual([state, report.found[0].name], ['agrees', 'blue']);
  const box = report.found[0].box.map(Math.round);
  assert.deepEqual(box, [30, 0, 40, 5], 'in the pixels of a picture of 40 x 20');
});

test('a missing WebGPU, adapter or bundle is reported', async () => {
  /** @type {[string, string | undefined, RegExp][]} */
  const cases = [
    [
      'bundle=/bundles/hand_made',
      'Object.defineProperty(Navigator.prototype, "gpu", {get: () => undefined})',
      /no WebGPU here/,
    ],
    ['', 'Object.defineProperty(Navigator.prototype, "gpu", {get: () => undefined})', /no WebGPU here/],
    ['bundle=/bundles/hand_made', 'GPU.prototype.requestAdapter = async () => null', /finds no GPU on this machine/],
    ['bundle=/bundles/nothing', undefined, /manifest\.json is missing from \/bundles\/nothing\/ \(404\)/],
  ];
  for (const [query, script, message] of cases) {
    await visit(
      query,
      async (_, { state, text }) => {
        assert.equal(state, 'refused');
        assert.match(text, message);
      },
      { before: script },
    );
  }
});

test('fp16 can be requested, and the page shows what it means on this GPU', async () => {
  await visit('bundle=/bundles/hand_made&precision=fp16', async (tab, { state, text }) => {
    assert.equal(state, 'agrees', text);
    const note = await tab.evaluate('document.querySelector("#verdict-note").textContent');
    assert.match(note, /in fp16\. This GPU has no fp16 arithmetic: values are stored as fp16/);
  });
});

for (const folder of (process.env.BUNDLES ?? '').split(':').filter(Boolean)) {
  const name = path.basename(folder);
  test(`${name} agrees with PyTorch, and its detections are the golden ones`, async (context) => {
    server.bundles.set(name, folder);
    const golden = JSON.parse(await readFile(path.join(folder, 'golden/detections.json'), 'utf-8')).detections;
    const { native, graphs } = JSON.parse(await readFile(path.join(folder, 'manifest.json'), 'utf-8'));
    await visit(`bundle=/bundles/${name}`, async (tab, { state, text, report }) => {
      await tab.screenshot(path.join(SHOTS, `${name}-light.png`));
      await tab.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: 'dark' }] });
      await tab.send('Emulation.setDeviceMetricsOverride', { width: 420, height: 900, deviceScaleFactor: 2, mobile: true });
      await tab.screenshot(path.join(SHOTS, `${name}-dark-narrow.png`));
      assert.equal(state, 'agrees', text);
      assert.deepEqual([report.form, report.refusal], [native ? 'native' : 'portable', undefined]);
      const { compared, rows } = report.judgement;
      const stages = ['pre-processing', 'graph A', 'host step', 'graph B', ...(graphs.m ? ['graph M'] : [])];
      assert.deepEqual([...new Set(compared.map((/** @type {any} */ item) => item.stage))], stages);
      assert.equal(compared[0].name, native?.pixels ?? graphs.a.inputs[0].name, 'what graph A is fed with');
      assert(rows.every((/** @type {any} */ row) => row.status === 'matched' || row.status === 'borderline'));
      assert.equal(report.found.length, golden.length);
      golden.forEach((/** @type {any} */ item, /** @type {number} */ index) => {
        const found = report.found[index];
        assert.deepEqual([found.classIndex, found.name, !!found.mask], [item.class_index, item.name, !!item.mask]);
        assert(Math.abs(found.score - item.score) < 0.01, `${found.score} for ${item.score}`);
        found.box.forEach((/** @type {number} */ edge, /** @type {number} */ side) =>
          assert(Math.abs(edge - item.box[side]) < 1, `${found.box} for ${item.box}`),
        );
      });
      context.diagnostic(`${report.form} form: ${text}`);
      for (const { stage, name: tensor, found } of compared) {
        const figures = `correlation ${found.correlation.toFixed(9)}, largest error ${found.maxAbsError.toExponential(1)}`;
        context.diagnostic(`${stage} ${tensor}: ${figures} of ${found.referenceMax.toPrecision(3)}`);
      }
      const rounded = (/** @type {string} */ _, /** @type {any} */ value) =>
        typeof value === 'number' ? Math.round(value) : value;
      context.diagnostic(`milliseconds ${JSON.stringify(report.chain.times, rounded)}`);
      context.diagnostic(`programs dispatched ${JSON.stringify(report.chain.dispatches)}`);
    });
  });
}
