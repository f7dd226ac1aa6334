/** Tests in a real browser which form of a bundle's graphs runs. The variables are harness.js's. */

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { FILES, GOLDENS, chosen, formShown, planted, startPage } from './harness.js';

const NATIVE = path.join(GOLDENS, 'bundles/native');
const NATIVE_B = 'graph_b.native.tflite';

startPage();

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
