/** A compiled graph; a run writes the inputs, computes, and reads the outputs, each timed. */

import { Tensor as GpuTensor } from '@litertjs/core';
import { REMAKE, UserError } from '../errors.js';
import { describe, fits, sameShape } from '../tensor.js';

/**
 * @typedef {'fp32' | 'fp16'} Precision
 * @typedef {import('../tensor.js').Tensor} Tensor
 * @typedef {{write: number, run: number, read: number}} GraphTimes
 *   Milliseconds. A GPU may still compute when `run` returns, so only the sum is the graph's time.
 * @typedef {{outputs: Map<string, Tensor>, times: GraphTimes, dispatches: number}} GraphRun
 */

export class GpuGraph {
  /**
   * @param {import('@litertjs/core').CompiledModel} model
   * @param {import('../manifest.js').GraphSpec} spec
   * @param {import('./runtime.js').GpuRuntime} runtime
   * @throws {UserError} its signature differs from the manifest.
   */
  constructor(model, spec, runtime) {
    this.model = model;
    this.spec = spec;
    this.runtime = runtime;
    const signature = model.signatures[spec.signature];
    if (!signature) throw new UserError(`${spec.file} has no signature '${spec.signature}'; ${REMAKE}`);
    this.signature = signature;
    checkDetails(spec.file, spec.inputs, signature.getInputDetails());
    checkDetails(spec.file, spec.outputs, signature.getOutputDetails());
  }

  /**
   * @param {ReadonlyMap<string, Tensor>} tensors at least the graph's inputs
   * @returns {Promise<GraphRun>}
   * @throws {Error} an input is missing or has the wrong shape, or the GPU did not run the graph.
   */
  async run(tensors) {
    const start = performance.now();
    /** @type {Record<string, GpuTensor>} */
    const inputs = {};
    /** @type {GpuTensor[]} */
    const made = [];
    try {
      for (const spec of this.spec.inputs) {
        const tensor = tensors.get(spec.name);
        if (!tensor || !fits(tensor, spec)) {
          throw new Error(
            `${this.spec.file} needs '${spec.name}' as ${describe(spec)}, not ${tensor ? describe(tensor) : 'nothing'}`,
          );
        }
        const own = new GpuTensor(tensor.data, [...tensor.shape]);
        made.push(own);
        inputs[spec.name] = await own.copyTo('webgpu');
        made.push(inputs[spec.name]);
      }
      const written = performance.now();
      const before = this.runtime.dispatches.total;
      const results = await this.signature.run(inputs);
      made.push(...Object.values(results));
      const ran = performance.now();
      const outputs = new Map();
      for (const spec of this.spec.outputs) {
        outputs.set(spec.name, { dtype: spec.dtype, shape: spec.shape, data: await results[spec.name].data() });
      }
      const dispatches = this.runtime.dispatches.total - before;
      if (dispatches === 0) throw new Error(`${this.spec.file} did not run on the GPU: nothing was dispatched`);
      this.runtime.checkFaults();
      return { outputs, times: { write: written - start, run: ran - written, read: performance.now() - ran }, dispatches };
    } finally {
      for (const tensor of made) tensor.delete();
    }
  }

  /** Releases the GPU's memory. */
  delete() {
    this.model.delete();
  }
}

/**
 * @param {string} file
 * @param {import('../tensor.js').TensorSpec[]} specs
 * @param {readonly import('@litertjs/core').TensorDetails[]} details
 */
function checkDetails(file, specs, details) {
  for (const spec of specs) {
    const found = details.find((item) => item.name === spec.name);
    if (!found || found.dtype !== spec.dtype || !sameShape([...found.shape], spec.shape)) {
      const has = found ? `${found.dtype}[${[...found.shape].join(', ')}]` : 'not there';
      throw new UserError(`${file}: '${spec.name}' is ${has}, not ${describe(spec)} as in the manifest; ${REMAKE}`);
    }
  }
}
