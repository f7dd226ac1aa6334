/** A page that runs one probe after another in LiteRT.js: `probe(name)`, once `document.body.dataset.ready` is set. */

import { Tensor as GpuTensor, getWebGpuDevice, loadAndCompile, loadLiteRt } from '@litertjs/core';
import { messageOf } from '../src/errors.js';
import { ConsoleWatch } from '../src/gpu/console_watch.js';
import { refusalOf, residencyProblem } from '../src/gpu/residency.js';
import { readSafetensors } from '../src/safetensors.js';

/**
 * @typedef {{outcome: 'ran' | 'refused' | 'died' | 'not run', reason: string, outputs: Record<string, (number | string)[]>}} Ran
 *   `died`: a trap or an abort, after which LiteRT.js answers no more; `outputs`: row-major values by name; those that JSON does
 *   not have as 'NaN', 'Infinity' and '-Infinity'
 */

const watch = new ConsoleWatch();
await loadLiteRt(new URL('../node_modules/@litertjs/core/wasm/', import.meta.url).href);
/** @type {string[]} */
const faults = [];
getWebGpuDevice()?.addEventListener('uncapturederror', (event) => faults.push(event.error.message));

/** @param {string} file @returns {Promise<Uint8Array>} */
async function bytesOf(file) {
  return new Uint8Array(await (await fetch(`/bundles/models/${file}`)).arrayBuffer());
}

/** @param {Ran['outcome']} outcome @param {string} reason @returns {Ran} */
const ended = (outcome, reason) => ({ outcome, reason: reason.slice(0, 400), outputs: {} });

/**
 * The first message of a level in the log, E for errors and F for what ends the program, without time and place.
 *
 * @param {readonly string[]} lines @param {'E' | 'F'} level
 */
function logged(lines, level) {
  const line = lines.find((text) => new RegExp(`^${level}\\d{4} `).test(text));
  return line?.replace(/^.*?\] /, '');
}

/** @param {unknown} error @returns {Ran} */
function failed(error) {
  const lines = watch.take();
  const died = logged(lines, 'F') ?? (error instanceof WebAssembly.RuntimeError ? error.message : undefined);
  if (died) return ended('died', died);
  const reason = refusalOf(lines) ?? logged(lines, 'E') ?? messageOf(error);
  // A limit of the JavaScript interface, which has no tensors of this type for inputs and outputs.
  return ended(/Element type \w+ is not supported/.test(reason) ? 'not run' : 'refused', reason);
}

/** @param {string} name @returns {Promise<Ran>} */
async function probe(name) {
  const file = await bytesOf(`${name}.tflite`);
  let inputs;
  try {
    inputs = readSafetensors(await bytesOf(`${name}.safetensors`), name);
  } catch (error) {
    return ended('not run', messageOf(error).split(';')[0]);
  }
  watch.take();
  faults.length = 0;
  let model;
  try {
    model = await loadAndCompile(file, { accelerator: 'webgpu', gpuOptions: { precision: 'fp32' } });
  } catch (error) {
    return failed(error);
  }
  try {
    const problem = residencyProblem(watch.take());
    if (problem) return ended('refused', problem);
    /** @type {Record<string, GpuTensor>} */
    const given = {};
    for (const [input, { data, shape }] of inputs) given[input] = await new GpuTensor(data, [...shape]).copyTo('webgpu');
    /** @type {Ran['outputs']} */
    const outputs = {};
    for (const [output, tensor] of Object.entries(await Object.values(model.signatures)[0].run(given)))
      outputs[output] = Array.from(await tensor.data(), (value) => (Number.isFinite(value) ? value : String(value)));
    return { outcome: 'ran', reason: faults[0]?.split('\n')[0] ?? '', outputs };
  } catch (error) {
    return failed(error);
  } finally {
    model.delete();
  }
}

Object.assign(globalThis, { probe });
document.body.dataset.ready = 'yes';
