/**
 * The query selection between the graphs: a small program, given as data in the manifest, checked once and interpreted. Its ops
 * are the rows of `host_runtime/host_ops.json` (`table.js`); `KERNELS` has the function that computes each.
 */

import { REMAKE, UserError, messageOf } from '../errors.js';
import { describe, fits } from '../tensor.js';
import { checkHostProgram, refusal } from './check.js';
import { binary, clamp, geluOp, sigmoid, unary } from './elementwise.js';
import { concat, gather, reshape, slice, topk } from './moving.js';
import { layerNorm, linear } from './rows.js';
import { HOST_OPS, resultOf, supported } from './table.js';

/**
 * @typedef {import('../tensor.js').Tensor} Tensor
 * @typedef {import('../manifest.js').HostProgram} HostProgram
 * @typedef {import('../manifest.js').HostOp} HostOp
 * @typedef {(inputs: Tensor[], attributes: Record<string, any>, shape: number[]) => Tensor} Kernel
 *   computes an op whose inputs and attributes were checked; `shape` is its output's
 */

/** By the op's name. @type {Record<string, Kernel>} */
export const KERNELS = {
  topk,
  gather,
  linear,
  layer_norm: layerNorm,
  relu: unary((x) => Math.max(x, 0)),
  silu: unary((x) => x * sigmoid(x)),
  gelu: geluOp,
  sigmoid: unary(sigmoid),
  exp: unary(Math.exp),
  log: unary(Math.log),
  add: binary((x, y) => x + y),
  sub: binary((x, y) => x - y),
  mul: binary((x, y) => x * y),
  div: binary((x, y) => x / y),
  maximum: binary(Math.max),
  minimum: binary(Math.min),
  clamp,
  slice,
  concat,
  reshape,
};

/** A host program that was checked once; `run` it with graph A's outputs. */
export class HostStep {
  /**
   * @param {HostProgram} program
   * @param {Map<string, Tensor>} constants
   * @param {import('../tensor.js').TensorSpec[]} inputSpecs shapes and types of the inputs (graph A's outputs). If all are given,
   *   every shape in the program is checked here, and a run can only fail on an index.
   * @throws {UserError} a program that this version cannot run; the message names the op and the tensor.
   */
  constructor(program, constants, inputSpecs) {
    this.program = program;
    this.constants = constants;
    this.specs = new Map(inputSpecs.map((spec) => [spec.name, spec]));
    checkHostProgram(program, inputSpecs);
    for (const spec of program.constants ?? []) {
      const found = constants.get(spec.name);
      if (!found || !fits(found, spec)) {
        throw new UserError(
          `the host step's constant '${spec.name}' is ${found ? describe(found) : 'missing'}, not ${describe(spec)}; ${REMAKE}`,
        );
      }
    }
  }

  /**
   * @param {ReadonlyMap<string, Tensor>} tensors at least the program's inputs
   * @returns {Map<string, Tensor>} the program's outputs
   * @throws {Error} an input is missing or of another shape, or an op cannot take its tensors; names op and tensor.
   */
  run(tensors) {
    /** @type {Map<string, Tensor>} */
    const known = new Map();
    for (const name of this.program.inputs) known.set(name, this.input(name, tensors));
    for (const { name } of this.program.constants ?? []) known.set(name, present(this.constants, name));
    this.program.ops.forEach((item, number) => known.set(item.output, runOp(item, number, known)));
    return new Map(this.program.outputs.map((name) => [name, present(known, name)]));
  }

  /** @param {string} name @param {ReadonlyMap<string, Tensor>} tensors */
  input(name, tensors) {
    const tensor = tensors.get(name);
    if (!tensor) throw new Error(`the host step needs '${name}' but was given ${[...tensors.keys()].join(', ') || 'nothing'}`);
    const spec = this.specs.get(name);
    if (spec && !fits(tensor, spec)) throw new Error(`the host step's '${name}' is ${describe(tensor)}, not ${describe(spec)}`);
    if (!supported(tensor)) throw new Error(`the host step's '${name}' is ${describe(tensor)}: rank or dtype is not supported`);
    return tensor;
  }
}

/** @param {HostOp} item @param {number} number @param {Map<string, Tensor>} known @returns {Tensor} */
function runOp(item, number, known) {
  const inputs = item.inputs.map((name) => present(known, name));
  try {
    const { shape } = resultOf(HOST_OPS[item.op], inputs, item.attributes ?? {});
    return KERNELS[item.op](inputs, item.attributes ?? {}, [...shape]);
  } catch (error) {
    throw new Error(`${refusal(item, number, inputs)}: ${messageOf(error)}`, { cause: error });
  }
}

/** @param {ReadonlyMap<string, Tensor>} known @param {string} name */
function present(known, name) {
  const tensor = known.get(name);
  if (!tensor) throw new Error(`the host step has no '${name}'`);
  return tensor;
}
