import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';
import { UserError } from '../src/errors.js';
import { schemaProblem } from '../src/json_schema.js';
import { parseManifest } from '../src/manifest.js';
import { ROOT, SCHEMA, json } from './goldens.js';

for (const { name, text, verdict } of [...(await json('manifests.json')), ...(await json('keypoint_manifests.json'))]) {
  test(`the manifest ${name} is ${verdict}`, () => {
    const parse = () => parseManifest(text, SCHEMA);
    if (verdict === 'read') assert.equal(parse().schema_version, JSON.parse(text).schema_version);
    else assert.throws(parse, UserError);
  });
}

const hostile = (await readFile(path.join(ROOT, 'hostile_manifests.jsonl'), 'utf-8')).trimEnd().split('\n');

test('every hostile manifest is refused in one printable line, soon', () => {
  assert(hostile.length >= 100);
  for (const line of hostile) {
    const { name, text } = JSON.parse(line);
    const start = performance.now();
    assert.throws(
      () => parseManifest(text, SCHEMA),
      (error) => {
        assert(error instanceof UserError, `${name}: ${error}`);
        assert(!/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\ud800-\udfff]/u.test(error.message), name);
        assert(error.message.length < 600 && error.message.includes('again with `convert run`'), `${name}: ${error.message}`);
        return true;
      },
      name,
    );
    assert(performance.now() - start < 20_000, name);
  }
});

test('what a host step may take is the reason', () => {
  /** @type {Record<string, RegExp>} */
  const reasons = {
    host_concatenates_to_a_gibibyte: /to 4260896 elements, more than the 1048576 that its inputs and constants justify/,
    host_broadcasts_to_576_gibibytes: /it gives 154618822656 elements, more than 67108864/,
    host_multiplies_for_a_minute: /to 34359738400 multiply-adds, more than 4294967296/,
    host_grows_by_small_steps: /op 19 'relu' giving 'r14' brings what the host step computes to 1049632 elements/,
    host_513_ops: /more than 512 items/,
    host_output_that_graph_b_does_not_read: /output 'indices' is not an input of graph b/,
    host_output_of_another_type: /gives 'selected_cells' as int32\[1, 4\], but graph b reads float32\[1, 4, 4\]/,
    given_twice_escaped: /the name "variant" is given twice/,
    given_twice_inside: /the name "height" is given twice/,
    nested_arrays: /nested deeper than 32/,
  };
  const texts = new Map(hostile.map((line) => JSON.parse(line)).map(({ name, text }) => [name, text]));
  for (const [name, reason] of Object.entries(reasons))
    assert.throws(() => parseManifest(texts.get(name), SCHEMA), reason, name);
});

test('a newer schema version is reported as such', () => {
  assert.throws(
    () => parseManifest('{"schema_version": 7}', SCHEMA),
    /schema version 7 but this page reads up to 6; use a newer page, or make/,
  );
});

test('the native form must list its files', async () => {
  const manifests = await json('manifests.json');
  const named = (/** @type {string} */ name) => manifests.find((/** @type {{name: string}} */ item) => item.name === name).text;
  assert.deepEqual(parseManifest(named('native'), SCHEMA).native, { a: 'graph_a.tflite', b: 'graph_b.native.tflite' });
  assert.equal(parseManifest(named('version_1'), SCHEMA).native, undefined);
  assert.throws(
    () => parseManifest(named('native_not_listed_b'), SCHEMA),
    /graph_b\.native\.tflite is used but not listed under files/,
  );
});

test('a bundle of one graph has no graph b, no host step, and a version that older pages refuse', async () => {
  const manifests = await json('manifests.json');
  const named = (/** @type {string} */ name) => manifests.find((/** @type {{name: string}} */ item) => item.name === name).text;
  const { schema_version: version, graphs, host_step: host } = parseManifest(named('one_graph_sound'), SCHEMA);
  assert.deepEqual([version, Object.keys(graphs), host.ops], [3, ['a'], []]);
  assert.throws(() => parseManifest(named('one_graph_with_a_host_step'), SCHEMA), /a host step after graph a and no graph b/);
  assert.throws(() => parseManifest(named('one_graph_without_logits'), SCHEMA), /'nothing', which is not an output of graph a/);
});

test('masks need a graph that fits', async () => {
  const manifests = await json('manifests.json');
  const named = (/** @type {string} */ name) => manifests.find((/** @type {{name: string}} */ item) => item.name === name).text;
  assert.equal(parseManifest(named('masks_sound'), SCHEMA).graphs.m?.file, 'graph_m.tflite');
  /** @type {[string, RegExp][]} */
  const reasons = [
    ['of_version_3', /there are masks, which a bundle of schema version 3 has not/],
    ['without_graph', /graph m is missing, which masks need/],
    ['native_without_m', /only one of the native and the portable form has a graph of masks/],
    ['kept_unknown', /graph m reads 'kept' \[2\], which the graph before it does not give/],
    ['output_of_another_room', /graph m needs an output 'masks' of masks, float32 \[1, h, w, 2\]/],
  ];
  for (const [name, reason] of reasons) assert.throws(() => parseManifest(named(`masks_${name}`), SCHEMA), reason);
});

test('a native form takes pixels if the pre-processing gives them, by a name of their own, since version 6', async () => {
  const manifests = await json('manifests.json');
  const { text } = manifests.find((/** @type {{name: string}} */ item) => item.name === 'native');
  const changed = (/** @type {(manifest: any) => void} */ change) => {
    const manifest = JSON.parse(text);
    Object.assign(manifest, { schema_version: 6, native: { ...manifest.native, a: manifest.native.b, pixels: 'pixels' } });
    manifest.preprocess.resize = 'bilinear_8bit';
    change(manifest);
    return () => parseManifest(JSON.stringify(manifest), SCHEMA);
  };
  assert.equal(changed(() => {})().native?.pixels, 'pixels');
  const letterbox = (/** @type {number[]} */ fill) =>
    changed(({ preprocess: pre }) => Object.assign(pre, { fit: 'letterbox', fill }));
  assert.deepEqual(letterbox([114, 0, 255])().preprocess.fill, [114, 0, 255]);

  const noPixels = /the native form takes pixels, and preprocess gives none of whole numbers;/;
  const anotherTensor = /native\.pixels names another tensor of graph a: '(image|memory)';/;
  const anInput = (/** @type {any} */ { graphs: { a } }) => Object.assign(a.inputs[0], { dtype: 'uint8' });
  /** @type {[() => unknown, RegExp][]} */
  const reasons = [
    [
      changed((manifest) => Object.assign(manifest, { schema_version: 5 })),
      /the native form takes pixels, which that of a bundle of schema version 5 does not;/,
    ],
    [changed(({ preprocess: pre }) => Object.assign(pre, { resize: 'bilinear_antialias' })), noPixels],
    [letterbox([114, 0.5, 255]), noPixels],
    [changed(({ native, graphs: { a } }) => Object.assign(native, { a: a.file })), /its graph a is the portable one/],
    [changed(({ native }) => Object.assign(native, { pixels: 'image' })), anotherTensor],
    [changed(({ native }) => Object.assign(native, { pixels: 'memory' })), anotherTensor],
    [changed(({ native }) => Object.assign(native, { pixels: '' })), /is not a bundle manifest: at .*pixels/],
    [changed(({ native }) => Object.assign(native, { pixels: true })), /is not a bundle manifest: at .*pixels/],
    [changed(anInput), /is not a bundle manifest: at .*dtype/],
  ];
  for (const [parse, reason] of reasons) assert.throws(parse, reason);
});

test('settings are read with their origin', async () => {
  const manifests = await json('manifests.json');
  const { text } = manifests.find((/** @type {{name: string}} */ item) => item.name === 'settings');
  const { settings } = parseManifest(text, SCHEMA);
  assert.deepEqual(settings?.resolution?.value, [8, 8]);
  assert.equal(settings?.num_select?.requested, true);
});

test('a fourth channel is refused in one clear line', async () => {
  const [{ text }] = await json('manifests.json');
  assert.throws(() => parseManifest(text.replace('"RGB"', '"RGBA"'), SCHEMA), /channels is RGBA, but this page feeds/);
});

test('an unknown keyword of a schema is an error, not ignored', () => {
  assert.throws(() => schemaProblem([1, 1], { type: 'array', uniqueItems: true }), /uniqueItems/);
});
