import assert from 'node:assert/strict';
import path from 'node:path';
import test from 'node:test';
import { openBundle } from '../src/bundle.js';
import { UserError } from '../src/errors.js';
import { compileFirst } from '../src/forms.js';
import { formsOf } from '../src/manifest.js';
import { ROOT, SCHEMA, onDisk } from './goldens.js';

const { manifest } = await openBundle(onDisk(path.join(ROOT, 'bundles/native')), SCHEMA);
const OWN = { ...manifest, native: { a: 'a.native', b: 'b.native' } };

/**
 * A compiler that refuses some files; records what it compiled, and what of that was deleted.
 *
 * @param {string[]} refused
 * @param {Error} [error] thrown in place of the refusal
 */
function compiler(refused, error) {
  /** @type {string[]} */
  const compiled = [];
  /** @type {string[]} */
  const deleted = [];
  const compile = async (/** @type {import('../src/manifest.js').GraphSpec} */ { file }) => {
    compiled.push(file);
    if (refused.includes(file)) throw error ?? new UserError(`${file} has an operator that is not supported`);
    return { file, delete: () => deleted.push(file) };
  };
  return { compile, compiled, deleted };
}

test('the native form keeps the signatures and comes first, and only on a GPU', () => {
  const [native, portable, ...others] = formsOf(manifest, 'gpu');
  assert.deepEqual([native.form, portable.form, others], ['native', 'portable', []]);
  assert.deepEqual(
    [native.a.file, native.b?.file, portable.b?.file],
    ['graph_a.tflite', 'graph_b.native.tflite', 'graph_b.tflite'],
  );
  assert.deepEqual({ ...native.b, file: '' }, { ...portable.b, file: '' });
  for (const forms of [formsOf(manifest, 'cpu'), formsOf({ ...manifest, native: undefined }, 'gpu')])
    assert.deepEqual(
      forms.map(({ form, a, b }) => [form, a.file, b?.file]),
      [['portable', 'graph_a.tflite', 'graph_b.tflite']],
    );
});

test('of a bundle whose native form takes pixels, graph A of that form alone has another input', () => {
  const pixels = { ...manifest, native: { ...OWN.native, pixels: 'pixels' } };
  const [native, portable] = formsOf(pixels, 'gpu');
  assert.deepEqual(native.a.inputs, [{ name: 'pixels', shape: [1, 8, 8, 3], dtype: 'uint8' }]);
  assert.deepEqual(
    [{ ...native.a, file: '', inputs: [] }, native.b?.inputs, portable.a],
    [{ ...manifest.graphs.a, file: '', inputs: [] }, portable.b?.inputs, manifest.graphs.a],
  );
  const grey = { ...pixels, preprocess: { ...manifest.preprocess, channels: /** @type {const} */ ('L') } };
  assert.deepEqual(formsOf(grey, 'gpu')[0].a.inputs[0].shape, [1, 8, 8, 1]);
});

test('of one graph, graph A alone is compiled in either form', async () => {
  const one = { ...OWN, graphs: { a: OWN.graphs.a }, native: { a: 'a.native' } };
  for (const [refused, file] of [
    ['', 'a.native'],
    ['a.native', 'graph_a.tflite'],
  ]) {
    const { compile, compiled } = compiler([refused]);
    const { a, b } = await compileFirst(formsOf(one, 'gpu'), compile);
    assert.deepEqual([a.file, b], [file, undefined]);
    assert.deepEqual(compiled, refused ? ['a.native', 'graph_a.tflite'] : ['a.native']);
  }
});

test('the graph of the masks is compiled last and of the same form', async () => {
  const m = { ...OWN.graphs.a, file: 'graph_m.tflite' };
  const masks = { ...OWN, graphs: { a: OWN.graphs.a, m }, native: { a: 'a.native', m: 'm.native' } };
  for (const [refused, files] of /** @type {[string, string[]][]} */ ([
    ['', ['a.native', 'm.native']],
    ['m.native', ['graph_a.tflite', 'graph_m.tflite']],
  ])) {
    const { compile, deleted } = compiler([refused]);
    const { a, m: third } = await compileFirst(formsOf(masks, 'gpu'), compile);
    assert.deepEqual([a.file, third?.file], files);
    assert.deepEqual(deleted, refused ? ['a.native'] : []);
  }
});

test('the native form is used where the GPU accepts it, and the portable one is not compiled', async () => {
  const { compile, compiled, deleted } = compiler([]);
  const { form, a, b, refusal } = await compileFirst(formsOf(OWN, 'gpu'), compile);
  assert.deepEqual([form, a.file, b?.file, refusal], ['native', 'a.native', 'b.native', undefined]);
  assert.deepEqual([compiled, deleted], [['a.native', 'b.native'], []]);
});

test('if the GPU refuses either native graph, both portable ones are used, and the reason is told', async () => {
  for (const refused of ['a.native', 'b.native']) {
    const { compile, compiled, deleted } = compiler([refused]);
    const { form, a, b, refusal } = await compileFirst(formsOf(OWN, 'gpu'), compile);
    assert.deepEqual([form, a.file, b?.file], ['portable', 'graph_a.tflite', 'graph_b.tflite']);
    assert.equal(refusal, `${refused} has an operator that is not supported`);
    assert.deepEqual(compiled.slice(-2), ['graph_a.tflite', 'graph_b.tflite']);
    assert.deepEqual(deleted, refused === 'b.native' ? ['a.native'] : [], 'what compiled is released');
  }
});

test('if the GPU refuses both forms, the error is that of the portable one, and nothing is leaked', async () => {
  const { compile, deleted } = compiler(['b.native', 'graph_b.tflite']);
  await assert.rejects(compileFirst(formsOf(OWN, 'gpu'), compile), /graph_b\.tflite has an operator/);
  assert.deepEqual(deleted, ['a.native', 'graph_a.tflite']);
});

test('a fault of the page is not taken for a refusal', async () => {
  const { compile, compiled } = compiler(['a.native'], new TypeError('a bug'));
  await assert.rejects(compileFirst(formsOf(OWN, 'gpu'), compile), /a bug/);
  assert.deepEqual(compiled, ['a.native']);
});
