/** LiteRT.js on the browser's GPU, started once per page. */

import { getWebGpuDevice, loadAndCompile, loadLiteRt } from '@litertjs/core';
import { UserError, messageOf } from '../errors.js';
import { ConsoleWatch } from './console_watch.js';
import { DispatchCount } from './dispatch_count.js';
import { GpuGraph } from './graph.js';
import { residencyProblem } from './residency.js';

const WASM = new URL('../../node_modules/@litertjs/core/wasm/', import.meta.url);

/**
 * @typedef {{vendor: string, architecture: string, description: string, software: boolean, fp16: boolean}} Adapter
 *   `software`: emulated on the CPU, so its times are not a GPU's; `fp16`: supports float16 arithmetic
 */

export class GpuRuntime {
  /** @param {Adapter} adapter @param {ConsoleWatch} watch @param {DispatchCount} dispatches @param {string[]} faults */
  constructor(adapter, watch, dispatches, faults) {
    this.adapter = adapter;
    this.watch = watch;
    this.dispatches = dispatches;
    /** Errors reported by the GPU. */
    this.faults = faults;
  }

  /** @throws {UserError} the browser has no WebGPU or no adapter. */
  static async start() {
    const adapter = await findAdapter();
    const watch = new ConsoleWatch();
    const dispatches = new DispatchCount();
    // Without JSPI on purpose: that build can run a graph partly on the CPU.
    await loadLiteRt(WASM.href);
    const device = getWebGpuDevice();
    if (!device) throw new UserError(`LiteRT.js got no WebGPU device: ${watch.take().join(' ').slice(0, 300)}`);
    /** @type {string[]} */
    const faults = [];
    device.addEventListener('uncapturederror', (event) => faults.push(event.error.message));
    device.lost.then((info) => faults.push(`the GPU was lost (${info.reason}): ${info.message}`));
    return new GpuRuntime(adapter, watch, dispatches, faults);
  }

  /**
   * Compiles a graph for the GPU alone.
   *
   * @param {Uint8Array} bytes a .tflite file's
   * @param {import('../manifest.js').GraphSpec} spec
   * @param {import('./graph.js').Precision} precision
   * @returns {Promise<GpuGraph>}
   * @throws {UserError} the GPU does not accept the whole graph, or its signature differs from the manifest.
   */
  async compile(bytes, spec, precision) {
    this.watch.take();
    let model;
    try {
      model = await loadAndCompile(bytes, { accelerator: 'webgpu', gpuOptions: { precision } });
    } catch (error) {
      const said = residencyProblem(this.watch.take());
      throw new UserError(
        `${spec.file} does not compile for this GPU: ${[messageOf(error), said].filter(Boolean).join('; ')}`,
        error,
      );
    }
    const problem = residencyProblem(this.watch.take());
    if (problem || model.options.accelerator !== 'webgpu') {
      model.delete();
      const why = problem ?? 'LiteRT.js chose the CPU';
      throw new UserError(`the GPU does not run all of ${spec.file}, and the CPU is not used in its place: ${why}`);
    }
    try {
      return new GpuGraph(model, spec, this);
    } catch (error) {
      model.delete();
      throw error;
    }
  }

  /** @throws {Error} the GPU has reported an error. */
  checkFaults() {
    if (this.faults.length) throw new Error(`the GPU reported an error: ${this.faults[0].slice(0, 400)}`);
  }
}

/** @returns {Promise<Adapter>} */
async function findAdapter() {
  if (!navigator.gpu) {
    const why = isSecureContext ? 'take a current Chrome, Edge, Firefox or Safari' : 'it is there for https and localhost only';
    throw new UserError(`this browser provides no WebGPU here; ${why}`);
  }
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter)
    throw new UserError('WebGPU finds no GPU on this machine; chrome://gpu shows why (a virtual machine, a blocked driver)');
  const { vendor, architecture, description, isFallbackAdapter } = adapter.info;
  const software = isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|basic render/i.test(`${architecture} ${description}`);
  return { vendor, architecture, description, software, fp16: adapter.features.has('shader-f16') };
}
