/**
 * The detector of a bundle: picture, graph A, host step, graph B, detections; of one graph: picture, graph A, detections. Where
 * the bundle has masks, graph M computes those of the detections' queries. Graphs are an interface with `run`, so that everything but the GPU is tested without one.
 *
 * @typedef {import('./tensor.js').Tensor} Tensor
 * @typedef {import('./tensor.js').TensorSpec} TensorSpec
 * @typedef {import('./preprocess.js').Picture} Picture
 * @typedef {{run: (tensors: ReadonlyMap<string, Tensor>) => Promise<import('./gpu/graph.js').GraphRun>, delete: () => void}} Graph
 * @typedef {Graph & {spec: import('./manifest.js').GraphSpec}} FirstGraph
 *   `spec` is of the form that was compiled, so that it says what graph A takes: normalised floats or pixels
 * @typedef {import('./gpu/graph.js').GraphTimes} GraphTimes
 * @typedef {{preprocess: number, a: GraphTimes, host: number, b?: GraphTimes, m?: GraphTimes, masks?: number}} Times
 *   Milliseconds; `m` and `masks`, their decoding, of all that a picture needs
 * @typedef {{outputs: Map<string, Tensor>, times: Times, dispatches: {a: number, b?: number, m?: number},
 *   masks: Map<number, Mask>}} Run
 *   The last graph's outputs, and the masks computed so far, by query
 * @typedef {import('./decode.js').Detection} Detection
 */

import { decode } from './decode.js';
import { HostStep } from './host/host_step.js';
import { Mask, maskOf, withMasks } from './masks.js';
import { place } from './placement.js';
import { pixelsOf, preprocess } from './preprocess.js';
import { floorFor, judge, readGolden } from './verdict.js';

export class Detector {
  /**
   * @param {import('./bundle.js').Bundle} bundle
   * @param {FirstGraph} graphA
   * @param {Graph} [graphB] where the bundle has one
   * @param {Graph} [graphM] where the bundle has masks
   */
  constructor(bundle, graphA, graphB, graphM) {
    const { manifest } = bundle;
    this.bundle = bundle;
    this.graphA = graphA;
    this.graphB = graphB;
    this.graphM = graphM;
    this.hostStep = new HostStep(manifest.host_step, bundle.hostConstants(), manifest.graphs.a.outputs);
  }

  /** Runs the whole chain. @param {Picture} picture @returns {Promise<Run>} */
  async run(picture) {
    const start = performance.now();
    const image = this.input(picture);
    const prepared = performance.now();
    const a = await this.graphA.run(image);
    if (!this.graphB) {
      const times = { preprocess: prepared - start, a: a.times, host: 0 };
      return { outputs: a.outputs, times, dispatches: { a: a.dispatches }, masks: new Map() };
    }
    const between = performance.now();
    const host = this.hostStep.run(a.outputs);
    const stepped = performance.now();
    const b = await this.graphB.run(new Map([...a.outputs, ...host]));
    const times = { preprocess: prepared - start, a: a.times, host: stepped - between, b: b.times };
    return { outputs: b.outputs, times, dispatches: { a: a.dispatches, b: b.dispatches }, masks: new Map() };
  }

  /**
   * Computes the masks of detections' queries that `run` lacks, as many at a time as graph M takes; without graph M, nothing.
   *
   * @param {Run} run
   * @param {readonly Detection[]} found its detections
   * @param {{width: number, height: number}} picture
   */
  async addMasks(run, found, picture) {
    const { graphs, postprocess, preprocess: input } = this.bundle.manifest;
    const { masks } = postprocess;
    if (!this.graphM || !graphs.m || !masks) return;
    const room = /** @type {TensorSpec} */ (graphs.m.inputs.find(({ name }) => name === masks.kept)).shape[0];
    const queries = [...new Set(found.map(({ query }) => /** @type {number} */ (query)))].sort((one, other) => one - other);
    const lacking = queries.filter((query) => !run.masks.has(query));
    const placement = place(picture, input);
    for (let start = 0; start < lacking.length; start += room) {
      const some = lacking.slice(start, start + room);
      const data = new Int32Array(room);
      data.set(some);
      const kept = /** @type {Tensor} */ ({ dtype: 'int32', shape: [room], data });
      const { outputs, times, dispatches } = await this.graphM.run(new Map([...run.outputs, [masks.kept, kept]]));
      const began = performance.now();
      const logits = /** @type {Tensor} */ (outputs.get(masks.output));
      some.forEach((query, index) => run.masks.set(query, maskOf(logits, index, placement, picture, input, masks.activation)));
      const { m = { write: 0, run: 0, read: 0 }, masks: before = 0 } = run.times;
      run.times.m = { write: m.write + times.write, run: m.run + times.run, read: m.read + times.read };
      run.times.masks = before + performance.now() - began;
      run.dispatches.m = dispatches;
    }
  }

  /**
   * Decodes a run's detections, with the masks that it has so far.
   *
   * @param {ReadonlyMap<string, Tensor>} outputs the last graph's
   * @param {Picture} picture
   * @param {number} threshold
   * @param {ReadonlyMap<number, Mask>} [masks] by query
   * @returns {Detection[]}
   */
  detections(outputs, picture, threshold, masks) {
    const { postprocess: post, classes } = this.bundle.manifest;
    const [boxes, logits] = [outputs.get(post.boxes), outputs.get(post.logits)];
    if (!boxes || !logits) throw new Error(`there is no output '${post.boxes}' or '${post.logits}'`);
    const options = { threshold, input: this.bundle.manifest.preprocess, keypoints: outputs.get(post.keypoints?.output ?? '') };
    const found = decode(boxes, logits, picture, post, classes, options);
    return masks?.size ? withMasks(found, masks, post.masks) : found;
  }

  /**
   * Compares every stage on golden inputs, then the chain, with the golden vectors.
   *
   * @param {Picture} picture the bundle's golden one
   * @param {import('./gpu/graph.js').Precision} precision
   */
  async judged(picture, precision) {
    const golden = readGolden(this.bundle);
    const given = {
      preprocess: this.input(picture),
      a: (await this.graphA.run(golden)).outputs,
      host: this.hostStep.run(golden),
      b: this.graphB ? (await this.graphB.run(golden)).outputs : new Map(),
      m: this.graphM ? (await this.graphM.run(golden)).outputs : new Map(),
    };
    const chain = await this.run(picture);
    await this.addMasks(chain, this.detections(chain.outputs, picture, floorFor(this.bundle, precision)), picture);
    return { judgement: judge(this.bundle, given, chain, picture, precision), chain };
  }

  /** Graph A's input, as the form in use takes it, by its name. @param {Picture} picture */
  input(picture) {
    const { name, dtype } = this.graphA.spec.inputs[0];
    const prepare = dtype === 'uint8' ? pixelsOf : preprocess;
    return new Map([[name, prepare(picture, this.bundle.manifest.preprocess)]]);
  }

  /** Releases the GPU's memory. */
  delete() {
    this.graphA.delete();
    this.graphB?.delete();
    this.graphM?.delete();
  }
}
