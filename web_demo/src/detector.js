/**
 * The detector of a bundle: picture, graph A, host step, graph B, detections; of one graph: picture, graph A, detections.
 * Graphs are an interface with `run`, so that everything but the GPU is tested without one.
 *
 * @typedef {import('./tensor.js').Tensor} Tensor
 * @typedef {import('./preprocess.js').Picture} Picture
 * @typedef {{run: (tensors: ReadonlyMap<string, Tensor>) => Promise<import('./gpu/graph.js').GraphRun>, delete: () => void}} Graph
 * @typedef {import('./gpu/graph.js').GraphTimes} GraphTimes
 * @typedef {{preprocess: number, a: GraphTimes, host: number, b?: GraphTimes}} Times milliseconds
 * @typedef {{outputs: Map<string, Tensor>, times: Times, dispatches: {a: number, b?: number}}} Run the last graph's outputs
 */

import { decode } from './decode.js';
import { HostStep } from './host/host_step.js';
import { preprocess } from './preprocess.js';
import { judge, readGolden } from './verdict.js';

export class Detector {
  /** @param {import('./bundle.js').Bundle} bundle @param {Graph} graphA @param {Graph} [graphB] where the bundle has one */
  constructor(bundle, graphA, graphB) {
    const { manifest } = bundle;
    this.bundle = bundle;
    this.graphA = graphA;
    this.graphB = graphB;
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
      return { outputs: a.outputs, times, dispatches: { a: a.dispatches } };
    }
    const between = performance.now();
    const host = this.hostStep.run(a.outputs);
    const stepped = performance.now();
    const b = await this.graphB.run(new Map([...a.outputs, ...host]));
    const times = { preprocess: prepared - start, a: a.times, host: stepped - between, b: b.times };
    return { outputs: b.outputs, times, dispatches: { a: a.dispatches, b: b.dispatches } };
  }

  /**
   * Decodes a run's detections.
   *
   * @param {ReadonlyMap<string, Tensor>} outputs the last graph's
   * @param {Picture} picture
   * @param {number} threshold
   */
  detections(outputs, picture, threshold) {
    const { postprocess: post, classes } = this.bundle.manifest;
    const [boxes, logits] = [outputs.get(post.boxes), outputs.get(post.logits)];
    if (!boxes || !logits) throw new Error(`there is no output '${post.boxes}' or '${post.logits}'`);
    return decode(boxes, logits, picture, post, classes, { threshold, input: this.bundle.manifest.preprocess });
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
    };
    const chain = await this.run(picture);
    return { judgement: judge(this.bundle, given, chain.outputs, picture, precision), chain };
  }

  /** Graph A's input by its name. @param {Picture} picture */
  input(picture) {
    const { graphs, preprocess: spec } = this.bundle.manifest;
    return new Map([[graphs.a.inputs[0].name, preprocess(picture, spec)]]);
  }

  /** Releases the GPU's memory. */
  delete() {
    this.graphA.delete();
    this.graphB?.delete();
  }
}
