/** The golden vectors of tests/android/make_goldens.py, in the folder of the variable GOLDENS. */

import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { readSafetensors } from '../src/safetensors.js';
import { describe, fits } from '../src/tensor.js';

/** @typedef {import('../src/tensor.js').Tensor} Tensor */

assert(process.env.GOLDENS, 'set GOLDENS to the folder that tests/android/make_goldens.py wrote');
export const ROOT = process.env.GOLDENS;

/** The manifest's schema, from host_runtime. */
export const SCHEMA = JSON.parse(await readFile(new URL('../../host_runtime/manifest.schema.json', import.meta.url), 'utf-8'));

/** @param {string} name */
export async function json(name) {
  return JSON.parse(await readFile(path.join(ROOT, name), 'utf-8'));
}

/** @param {string} name @returns {Promise<Map<string, Tensor>>} */
export async function tensors(name) {
  return readSafetensors(await readFile(path.join(ROOT, name)), name);
}

/**
 * All cases in a folder, at least one.
 *
 * @param {string} folder
 * @returns {Promise<{name: string, settings: any, tensors: Map<string, Tensor>}[]>}
 */
export async function cases(folder) {
  const files = (await readdir(path.join(ROOT, folder))).filter((file) => file.endsWith('.safetensors')).sort();
  assert(files.length > 0, `no cases in ${folder}`);
  return Promise.all(
    files.map(async (file) => {
      const name = file.slice(0, -'.safetensors'.length);
      return { name, settings: await json(`${folder}/${name}.json`), tensors: await tensors(`${folder}/${file}`) };
    }),
  );
}

/** A bundle's folder on disk. @param {string} folder @returns {import('../src/bundle.js').Source} */
export function onDisk(folder) {
  return { label: folder, read: async (name) => new Uint8Array(await readFile(path.join(folder, name))) };
}

/**
 * A graph that returns recorded tensors instead of running on a GPU; its inputs must be those of its spec.
 *
 * @param {import('../src/manifest.js').GraphSpec} spec
 * @param {ReadonlyMap<string, Tensor>} outputs
 * @returns {import('../src/detector.js').FirstGraph}
 */
export function recorded(spec, outputs) {
  return {
    spec,
    async run(given) {
      for (const input of spec.inputs) {
        const tensor = get(given, input.name);
        assert(fits(tensor, input), `${input.name} is ${describe(tensor)}, not ${describe(input)}`);
      }
      return { outputs: new Map(outputs), times: { write: 1, run: 2, read: 3 }, dispatches: 1 };
    },
    delete() {},
  };
}

/** The tensor, which must exist. @param {ReadonlyMap<string, Tensor>} all @param {string} name @returns {Tensor} */
export function get(all, name) {
  const found = all.get(name);
  assert(found, `no tensor ${name}`);
  return found;
}

/**
 * Same shape and type, values within `tolerance`; NaN equals NaN.
 *
 * @param {Tensor} actual
 * @param {Tensor} expected
 * @param {number} tolerance
 * @param {string} what
 */
export function assertClose(actual, expected, tolerance, what) {
  assert.deepEqual([actual.dtype, actual.shape], [expected.dtype, expected.shape], what);
  assertNear(actual.data, expected.data, tolerance, what);
}

/** @param {ArrayLike<number>} actual @param {ArrayLike<number>} expected @param {number} tolerance @param {string} what */
export function assertNear(actual, expected, tolerance, what) {
  assert.equal(actual.length, expected.length, what);
  for (let index = 0; index < expected.length; index += 1) {
    const [one, other] = [actual[index], expected[index]];
    const same = one === other || (Number.isNaN(one) && Number.isNaN(other)) || Math.abs(one - other) <= tolerance;
    assert(same, `${what}: ${one} for ${other} at ${index}, tolerance ${tolerance}`);
  }
}

/** The largest finite value, at least 1. @param {Tensor} tensor */
export function scaleOf(tensor) {
  return [...tensor.data].filter(Number.isFinite).reduce((most, value) => Math.max(most, Math.abs(value)), 1);
}

/**
 * A picture that the Python runtime packed as 0xAARRGGBB.
 *
 * @param {Tensor} packed
 * @returns {import('../src/preprocess.js').Picture}
 */
export function unpacked(packed) {
  const [height, width] = packed.shape;
  const data = new Uint8Array(width * height * 4);
  packed.data.forEach((value, pixel) => data.set([(value >> 16) & 255, (value >> 8) & 255, value & 255, 255], pixel * 4));
  return { width, height, data };
}
