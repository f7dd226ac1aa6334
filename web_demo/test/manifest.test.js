import assert from 'node:assert/strict';
import test from 'node:test';
import { UserError } from '../src/errors.js';
import { schemaProblem } from '../src/json_schema.js';
import { parseManifest } from '../src/manifest.js';
import { SCHEMA, json } from './goldens.js';

for (const { name, text, verdict } of await json('manifests.json')) {
  test(`the manifest ${name} is ${verdict}`, () => {
    const parse = () => parseManifest(text, SCHEMA);
    if (verdict === 'read') assert.equal(parse().schema_version, JSON.parse(text).schema_version);
    else assert.throws(parse, UserError);
  });
}

test('a newer schema version is reported as such', () => {
  assert.throws(() => parseManifest('{"schema_version": 7}', SCHEMA), /schema version 7 but this page reads up to 3/);
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
