/**
 * Tests the page in a real browser. Variables: CHROMIUM, the program; GOLDENS, the output of tests/android/make_goldens.py;
 * FILES, the output of tests/web/make_files.py; BUNDLES, folders separated by ':'; SHOTS, the folder for screenshots.
 */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Server } from '../../server/server.js';
import { classColour } from '../../src/colours.js';
import { Mask } from '../../src/masks.js';
import { readSafetensors } from '../../src/safetensors.js';
import { get } from '../goldens.js';
import { writeSafetensors } from '../write_safetensors.js';
import { Chromium } from './chromium.js';

/** @param {string} name */
function variable(name) {
  const value = process.env[name];
  assert(value, `set ${name}; web_demo/check.sh does`);
  return value;
}

const GOLDENS = variable('GOLDENS');
const FILES = variable('FILES');
const SHOTS = variable('SHOTS');
const HAND_MADE = path.join(GOLDENS, 'bundles/hand_made');
const NATIVE = path.join(GOLDENS, 'bundles/native');
const NATIVE_B = 'graph_b.native.tflite';
const WIDE = { width: 1180, height: 900 };
/** A software GPU on a busy machine is slow. */
const SECONDS = Number(process.env.SECONDS_A_BUNDLE ?? 300);

const server = new Server();
let address = '';
/** @type {Chromium} */
let browser;
/** A tab that opens one bundle after another, as a user does: LiteRT.js starts in it once. @type {import('./chromium.js').Tab} */
let shared;
let scratch = '';

before(async () => {
  await mkdir(SHOTS, { recursive: true });
  server.bundles.set('hand_made', HAND_MADE);
  for (const name of ['partly', 'wholly']) server.bundles.set(name, path.join(FILES, name));
  address = await server.start(0);
  scratch = await mkdtemp(path.join(tmpdir(), 'web-demo-'));
  browser = await Chromium.launch(variable('CHROMIUM'));
  shared = await browser.tab(WIDE);
});

after(async () => {
  await browser?.close();
  server.stop();
  await rm(scratch, { recursive: true, force: true });
});

/**
 * Opens the page with a bundle, waits for its verdict, and gives the tab to `use`.
 *
 * @param {string} query
 * @param {(tab: import('./chromium.js').Tab, seen: {state: string, text: string, report: any}) => Promise<void>} use
 * @param {{width?: number, height?: number, dark?: boolean, before?: string}} [options]
 */
async function visit(query, use, options = {}) {
  const tab = await browser.tab({ ...WIDE, ...options });
  try {
    await tab.goto(`${address}/web_demo/?${query}`);
    await use(tab, await settled(tab));
    assert.deepEqual(tab.uncaught, []);
  } finally {
    await tab.close();
  }
}

/** @param {import('./chromium.js').Tab} tab */
async function settled(tab) {
  await tab.until('document.body.dataset.state !== "working" && !document.body.hasAttribute("aria-busy")', SECONDS);
  return JSON.parse(
    await tab.evaluate(
      `JSON.stringify({
      state: document.body.dataset.state,
      text: document.querySelector("#verdict-text").textContent,
      report: globalThis.report ?? null,
    })`,
    ),
  );
}

/**
 * Chooses a bundle in the shared tab, and waits for the verdict.
 *
 * @param {string} bundle a folder or a .zip
 */
async function chosen(bundle) {
  // So that the verdict waited for is not the last bundle's.
  await shared.evaluate('document.body.dataset.state = "working"');
  await shared.choose(bundle.endsWith('.zip') ? '#choose-zip' : '#choose-folder', bundle);
  const seen = await settled(shared);
  assert.deepEqual(shared.uncaught, []);
  return seen;
}

/**
 * A copy of a bundle with one file changed, and its hash in the manifest updated unless `staleHash`.
 *
 * @param {string} name
 * @param {(bytes: Buffer) => Uint8Array} change
 * @param {{staleHash?: boolean, base?: string}} [options]
 */
async function planted(name, change, { staleHash = false, base = HAND_MADE } = {}) {
  const folder = path.join(await mkdtemp(path.join(scratch, 'planted-')), 'bundle');
  await cp(base, folder, { recursive: true });
  const bytes = change(await readFile(path.join(base, name)));
  await writeFile(path.join(folder, name), bytes);
  if (staleHash) return folder;
  const manifest = JSON.parse(await readFile(path.join(base, 'manifest.json'), 'utf-8'));
  manifest.files[name] = { sha256: createHash('sha256').update(bytes).digest('hex'), bytes: bytes.byteLength };
  await writeFile(path.join(folder, 'manifest.json'), JSON.stringify(manifest));
  return folder;
}

/** Adds to the last value of one tensor. @param {string} name @param {number} amount */
const nudged = (name, amount) => (/** @type {Buffer} */ bytes) => {
  const tensors = readSafetensors(bytes, 'golden');
  const { data } = get(tensors, name);
  data[data.length - 1] += amount;
  return writeSafetensors(tensors);
};

/** Replaces a constant by another checkpoint's. @param {string} name */
const scaled = (name) => (/** @type {Buffer} */ bytes) => {
  const tensors = readSafetensors(bytes, 'constants');
  const { data } = get(tensors, name);
  data.forEach((value, index) => (data[index] = value * 1.2));
  return writeSafetensors(tensors);
};

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
    (bytes) => Buffer.from(bytes.toString().replace('"schema_version": 2', '"schema_version": 6')),
    true,
    'refused',
    /schema version 6 but this page reads up to 5; use a newer page, or make the bundle again/,
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

/** The note below the verdict, and the page's line about the graphs. */
async function formShown() {
  const note = await shared.evaluate('document.querySelector("#verdict-note").textContent');
  const facts = await shared.evaluate('document.querySelector("#facts").innerText');
  return { note, facts };
}

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

test('masks are computed, compared with the golden ones and drawn translucent, for another threshold too', async () => {
  const { state, text, report } = await chosen(path.join(GOLDENS, 'bundles/masks'));
  assert.equal(state, 'agrees', text);
  assert.match(text, /2 detections matched .* lowest IoU of masks 1\.0000/);
  assert(report.chain.dispatches.m > 0);
  const expected = JSON.parse(await readFile(path.join(GOLDENS, 'bundles/masks.json'), 'utf-8')).masks;
  const counts = (/** @type {any[]} */ found) => found.map(({ mask }) => new Mask(mask.width, mask.height, mask.runs).counts);
  assert.deepEqual(counts(report.found), expected);
  assert.match((await formShown()).note, /Both graphs, in their portable form, ran entirely on/);
  assert.match(await shared.evaluate('document.querySelector("#times").innerText'), /Graph M[^]*Masks/);
  await shared.screenshot(path.join(SHOTS, 'masks-hand-made.png'));

  await shared.choose('#choose-picture', path.join(FILES, 'masks.png'));
  await shared.until(
    'report.found.every(({mask}) => mask?.width === 320) && !document.body.hasAttribute("aria-busy")',
    SECONDS,
  );
  const [item] = (await settled(shared)).report.found;
  const mask = new Mask(item.mask.width, item.mask.height, item.mask.runs);
  assert.deepEqual([item.name, mask.width, mask.height], ['blue', 320, 240]);
  // In the middle of the mask but beside box and label, the picture is tinted; outside it is black as before.
  const [inside, outside] = await shared.evaluate(`(() => {
    const canvas = document.querySelector('canvas');
    const at = (x, y) =>
      [...canvas.getContext('2d').getImageData(x * canvas.width / 320, y * canvas.height / 240, 1, 1).data.slice(0, 3)];
    return [at(205, 90), at(20, 220)];
  })()`);
  assert.deepEqual(outside, [0, 0, 0]);
  const [colour, opacity] = [classColour(2), 110 / 255];
  const blue = [0, 0, 255].map((value, channel) => value + (colour[channel] - value) * opacity);
  inside.forEach((/** @type {number} */ value, /** @type {number} */ channel) =>
    assert(Math.abs(value - blue[channel]) < 3, `${inside} for ${blue}`),
  );
  await shared.screenshot(path.join(SHOTS, 'masks-picture.png'));

  const before = (await settled(shared)).report.found.length;
  await shared.evaluate(`(() => {
    const slider = document.querySelector('#threshold');
    slider.value = slider.min;
    slider.dispatchEvent(new Event('input'));
  })()`);
  await shared.until(`report.found.length > ${before} && report.found.every(({mask}) => mask)`, SECONDS);
});

test('keypoints are compared with the golden ones, and drawn where their score is one half or more', async () => {
  const { state, text, report } = await chosen(path.join(GOLDENS, 'bundles/keypoints'));
  assert.equal(state, 'agrees', text);
  assert.match(text, /2 detections matched .* keypoints within 0\.00 % of the box's diagonal/);
  assert.deepEqual(
    report.found.map((/** @type {any} */ item) => [item.name, item.keypoints.length]),
    [
      ['red', 3],
      ['green', 2],
    ],
  );
  assert.match(await shared.evaluate('document.querySelector("#found").innerText'), /Keypoints[^]*red[^]*1 of 3/);

  await shared.choose('#choose-picture', path.join(FILES, 'keypoints.png'));
  await shared.until('report.found[0].box[2] > 100 && !document.body.hasAttribute("aria-busy")', SECONDS);
  const { found } = (await settled(shared)).report;
  await shared.screenshot(path.join(SHOTS, 'keypoints-picture.png'));
  assert.deepEqual(
    found.map((/** @type {any} */ item) => item.name),
    ['red', 'green', 'green'],
  );
  // Two points of the best and the middle of the line between them have its colour; beside the line is the picture.
  const [from, to] = found[0].keypoints;
  const [along, length] = [{ x: to.x - from.x, y: to.y - from.y }, Math.hypot(to.x - from.x, to.y - from.y)];
  const beside = (/** @type {number} */ share, /** @type {number} */ apart) => [
    from.x + share * along.x - (apart * along.y) / length,
    from.y + share * along.y + (apart * along.x) / length,
  ];
  const places = [beside(0, 0), beside(1, 0), beside(0.5, 0), beside(0.5, 12)];
  const pixels = await shared.evaluate(`(() => {
    const canvas = document.querySelector('canvas');
    const at = ([x, y]) =>
      [...canvas.getContext('2d').getImageData(x * canvas.width / 320, y * canvas.height / 240, 1, 1).data.slice(0, 3)];
    return ${JSON.stringify(places)}.map(at);
  })()`);
  assert.deepEqual(pixels, [...Array(3).fill(classColour(0)), [0, 0, 0]]);
});

test('the native form runs where the GPU has its operators, and the page shows it', async () => {
  const { state, text, report } = await chosen(NATIVE);
  assert.equal(state, 'agrees', text);
  assert.deepEqual([report.form, report.refusal], ['native', undefined]);
  const { note, facts } = await formShown();
  assert.match(note, /Both graphs, in their native form, ran entirely on/);
  assert.match(facts, /native form, with the GPU delegate's own operators/);
});

test('a native graph that computes something else is detected: it is the one that runs', async () => {
  const wrong = await readFile(path.join(FILES, 'wrong.native.tflite'));
  const { state, text } = await chosen(await planted(NATIVE_B, () => wrong, { base: NATIVE }));
  assert.equal(state, 'differs', text);
  assert.match(text, /^graph B differs: logits/);
});

test('a native form that the GPU refuses is replaced by the portable one, and the page shows why', async () => {
  const refused = await readFile(path.join(FILES, 'refused.tflite'));
  const { state, text, report } = await chosen(await planted(NATIVE_B, () => refused, { base: NATIVE }));
  assert.equal(state, 'agrees', text);
  assert.equal(report.form, 'portable');
  assert.match(report.refusal, /the GPU does not run all of graph_b\.native\.tflite/);
  const { note, facts } = await formShown();
  assert.match(
    note,
    /in their portable form, ran.*The native form .* does not run here, so the portable one is used: .*RELU_0_TO_1/,
  );
  assert.match(facts, /portable form, since the native one does not run here/);
});

test('the forms are not mixed: without native graph A, native graph B is not used', async () => {
  const [refused, wrong] = await Promise.all(
    ['refused.tflite', 'wrong.native.tflite'].map((name) => readFile(path.join(FILES, name))),
  );
  const one = await planted(NATIVE_B, () => wrong, { base: NATIVE });
  const manifest = JSON.parse(await readFile(path.join(one, 'manifest.json'), 'utf-8'));
  manifest.native.a = 'graph_a.native.tflite';
  manifest.files[manifest.native.a] = {};
  await writeFile(path.join(one, manifest.native.a), '');
  await writeFile(path.join(one, 'manifest.json'), JSON.stringify(manifest));
  const both = await planted(manifest.native.a, () => refused, { base: one });
  const { state, text, report } = await chosen(both);
  assert.equal(state, 'agrees', text);
  assert.equal(report.form, 'portable');
  assert.match(report.refusal, /graph_a\.native\.tflite/);
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
