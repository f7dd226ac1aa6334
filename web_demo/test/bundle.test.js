import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'node:test';
import { openBundle, readAll } from '../src/bundle.js';
import { UserError } from '../src/errors.js';
import { readSafetensors } from '../src/safetensors.js';
import { zippedFolder } from '../src/zip.js';
import { ROOT, SCHEMA, get, onDisk } from './goldens.js';
import { joined, writeSafetensors } from './write_safetensors.js';

const SOUND = path.join(ROOT, 'bundles/hand_made');

/**
 * A source with some files' contents changed.
 *
 * @param {Record<string, (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>>} changes
 * @returns {import('../src/bundle.js').Source}
 */
function changed(changes) {
  const disk = onDisk(SOUND);
  return { ...disk, read: async (name, limit) => (changes[name] ?? ((bytes) => bytes))(await disk.read(name, limit)) };
}

/** @param {(text: string) => string} edit */
const edited = (edit) => (/** @type {Uint8Array} */ bytes) => new TextEncoder().encode(edit(new TextDecoder().decode(bytes)));

test('a valid bundle opens', async () => {
  const bundle = await openBundle(onDisk(SOUND), SCHEMA);
  assert.deepEqual([...bundle.hostConstants().keys()], ['cells']);
  assert.equal(bundle.files.size, 7);
});

test('a native file is checked like every other', async () => {
  const folder = path.join(ROOT, 'bundles/native');
  const disk = onDisk(folder);
  assert((await openBundle(disk, SCHEMA)).file('graph_b.native.tflite').length > 0);
  const cut = async (/** @type {string} */ name, /** @type {number} */ limit) => {
    const bytes = await disk.read(name, limit);
    return name === 'graph_b.native.tflite' ? bytes.slice(1) : bytes;
  };
  await assert.rejects(openBundle({ ...disk, read: cut }, SCHEMA), /graph_b\.native\.tflite is cut short/);
});

test('every fault is named', async () => {
  /** @type {[Parameters<typeof changed>[0], RegExp][]} */
  const faults = [
    [{ 'labels.txt': edited((text) => text.slice(1)) }, /labels\.txt is cut short \(14 bytes, not 15\)/],
    [{ 'labels.txt': edited((text) => text.replace('red', 'rad')) }, /labels\.txt is damaged or changed \(its sha256/],
    [{ 'manifest.json': () => Uint8Array.of(255, 254) }, /not UTF-8/],
    [{ 'manifest.json': edited((text) => text.replace('"labels.txt"', '"../labels.txt"')) }, /not inside the bundle/],
    [{ 'manifest.json': edited((text) => text.replace('"schema_version": 2', '"schema_version": 7')) }, /schema version 7/],
  ];
  for (const [changes, message] of faults)
    await assert.rejects(
      openBundle(changed(changes), SCHEMA),
      (error) => error instanceof UserError && message.test(error.message),
    );
});

test('paths outside the bundle are refused', async () => {
  for (const name of ['../x', '/x', 'a/../../x', 'a//b', 'C:x', 'a\\\\b', '.', 'golden/./image.png']) {
    const source = changed({ 'manifest.json': edited((text) => text.replace('"labels.txt"', `"${name}"`)) });
    await assert.rejects(openBundle(source, SCHEMA), /not inside the bundle/, name);
  }
});

test('reading stops at the limit', async () => {
  const stream = new Blob([new Uint8Array(1000)]).stream();
  await assert.rejects(readAll(stream, 999, 'big'), /big is too long/);
  assert.equal((await readAll(new Blob([new Uint8Array(1000)]).stream(), 1000, 'big')).length, 1000);
});

/**
 * A .zip of the valid bundle, made by Python.
 *
 * @param {string} script changes `files` (name to bytes) before they are written
 */
async function zipped(script) {
  const folder = await mkdtemp(path.join(tmpdir(), 'zip-'));
  const file = path.join(folder, 'bundle.zip');
  const program = `
import pathlib, sys, warnings, zipfile
warnings.simplefilter("ignore")
root, target = pathlib.Path(sys.argv[1]), sys.argv[2]
files = [(p.relative_to(root).as_posix(), p.read_bytes()) for p in sorted(root.rglob("*")) if p.is_file()]
method, link = zipfile.ZIP_DEFLATED, None
${script}
with zipfile.ZipFile(target, "w", method) as archive:
    for name, data in files:
        info = zipfile.ZipInfo(name)
        info.compress_type = method
        if name == link:
            info.external_attr = 0o120777 << 16
        archive.writestr(info, data)
`;
  execFileSync(process.env.PYTHON ?? 'python3', ['-c', program, SOUND, file]);
  const blob = new Blob([await readFile(file)]);
  await rm(folder, { recursive: true });
  return blob;
}

/** @param {Blob} blob */
const opened = async (blob) => openBundle(await zippedFolder(blob, 'b.zip'), SCHEMA);

test('a .zip opens: deflated or stored, at the top level or in one folder', async () => {
  for (const script of ['', 'method = zipfile.ZIP_STORED', 'files = [("bundle/" + n, d) for n, d in files]']) {
    assert.equal((await opened(await zipped(script))).manifest.variant, 'cells');
  }
});

test('bad zips are refused', async () => {
  await assert.rejects(opened(new Blob(['no zip'])), /no directory/);
  /** @type {[string, RegExp][]} */
  const faults = [
    ['files = [(n, d) for n, d in files if n != "manifest.json"]', /has 0 manifest\.json/],
    ['files = [(n, d) for n, d in files if n != "labels.txt"]', /labels\.txt is missing/],
    ['files = [("a/b/" + n, d) for n, d in files]', /has 0 manifest\.json/],
    ['files = [(n, bytes(2**20) if n == "labels.txt" else d) for n, d in files]', /labels\.txt is too long/],
    ['files = [("../" + n, d) for n, d in files]', /not inside the bundle/],
    ['files += files[:1]', /occurs twice/],
    ['link = "labels.txt"', /contains the link 'labels\.txt'/],
    ['method = zipfile.ZIP_BZIP2', /compression method 12/],
  ];
  for (const [script, message] of faults) await assert.rejects(zipped(script).then(opened), message);
  const whole = new Uint8Array(await (await zipped('method = zipfile.ZIP_DEFLATED')).arrayBuffer());
  await assert.rejects(opened(new Blob([whole.slice(50)])), UserError);
});

test('safetensors round-trip', () => {
  /** @type {Map<string, import('../src/tensor.js').Tensor>} */
  const written = new Map([
    ['f', { dtype: 'float32', shape: [2, 2], data: Float32Array.of(1, -0, NaN, Infinity) }],
    ['i', { dtype: 'int32', shape: [], data: Int32Array.of(9) }],
    ['u', { dtype: 'uint8', shape: [1, 3], data: Uint8Array.of(0, 128, 255) }],
  ]);
  assert.deepEqual(readSafetensors(writeSafetensors(written), 'x'), written);
});

test('inconsistent safetensors are refused', () => {
  const good = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
  assert.deepEqual(get(readSafetensors(joined(good, [new Uint8Array(8)]), 'x'), 'a').shape, [2]);
  /** @type {[string, number][]} */
  const bad = [
    [good, 4],
    [good, 12],
    [good.replace('[0,8]', '[4,12]'), 12],
    [good.replace('[0,8]', '[0,7]'), 7],
    [good.replace('[2]', '[3]'), 8],
    [good.replace('F32', 'F16'), 8],
    [good.replace('F32', 'U8'), 8],
    [good.replace('F32', 'I8').replace('[2]', '[8]'), 8],
    [good.replace('F32', 'BOOL').replace('[2]', '[8]'), 8],
    [good.replace('F32', 'I64').replace('[2]', '[1]'), 8],
    [good.replace('[0,8]', '[8,0]'), 8],
    [good.replace('[0,8]', '[]'), 8],
    [good.replace('[0,8]', '[0]'), 8],
    ['{', 8],
    ['[]', 8],
    [good.replace('F32', 'toString'), 8],
    ['{"a": null}', 0],
  ];
  for (const [header, length] of bad)
    assert.throws(() => readSafetensors(joined(header, [new Uint8Array(length)]), 'x'), UserError, header);
  assert.throws(() => readSafetensors(new Uint8Array(3), 'x'), UserError);
  assert.throws(() => readSafetensors(new Uint8Array(8).fill(255), 'x'), UserError);
});
