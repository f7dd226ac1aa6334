/** The query selection between the graphs: a small program, given as data in the manifest, checked once and interpreted. */

import { REMAKE, UserError, messageOf } from '../errors.js';
import { MAX_RANK, describe, fits } from '../tensor.js';
import { binary, clamp, geluOp, relu, sigmoid, unary, where } from './elementwise.js';
import { concat, gather, reshape, slice, topk } from './moving.js';
import { layerNorm, linear, reduceMax } from './rows.js';

/**
 * @typedef {import('../tensor.js').Tensor} Tensor
 * @typedef {import('../manifest.js').HostProgram} HostProgram
 * @typedef {import('../manifest.js').HostOp} HostOp
 * @typedef {(inputs: Tensor[], attributes: Record<string, any>) => Tensor} Call
 * @typedef {{call: Call, least: number, most: number, required: string[], optional: string[]}} Op
 */

/**
 * @param {Call} call
 * @param {number} least
 * @param {number} [most]
 * @param {string[]} [required]
 * @param {string[]} [optional]
 * @returns {Op}
 */
const op = (call, least, most = least, required = [], optional = []) => ({ call, least, most, required, optional });

/** The same table as in `host_runtime/host_step.py`. @type {Record<string, Op>} */
export const OPS = {
  topk: op(topk, 1, 1, ['k', 'axis']),
  gather: op(gather, 2, 2, ['axis']),
  linear: op(linear, 2, 3),
  layer_norm: op(layerNorm, 1, 3, ['eps']),
  relu: op(relu, 1),
  silu: op(
    unary((x) => x * sigmoid(x)),
    1,
  ),
  gelu: op(geluOp, 1, 1, [], ['approximate']),
  sigmoid: op(unary(sigmoid), 1),
  exp: op(unary(Math.exp), 1),
  log: op(unary(Math.log), 1),
  add: op(
    binary((x, y) => x + y),
    2,
  ),
  sub: op(
    binary((x, y) => x - y),
    2,
  ),
  mul: op(
    binary((x, y) => x * y),
    2,
  ),
  div: op(
    binary((x, y) => x / y, { divides: true }),
    2,
  ),
  maximum: op(binary(Math.max), 2),
  minimum: op(binary(Math.min), 2),
  clamp: op(clamp, 1, 1, [], ['min', 'max']),
  slice: op(slice, 1, 1, ['axis', 'start', 'end']),
  concat: op(concat, 1, 64, ['axis']),
  reshape: op(reshape, 1, 1, ['shape']),
  where: op(where, 3),
  reduce_max: op(reduceMax, 1, 1, ['axis'], ['keepdims']),
};

/** A host program made ready once; `run` it with graph A's outputs. */
export class HostStep {
  /**
   * @param {HostProgram} program
   * @param {Map<string, Tensor>} constants
   * @param {import('../tensor.js').TensorSpec[]} inputSpecs what the inputs must be: graph A's outputs
   * @throws {UserError} a program that this version cannot run; the message names the op and the tensor.
   */
  constructor(program, constants, inputSpecs) {
    this.program = program;
    this.constants = constants;
    this.specs = new Map(inputSpecs.map((spec) => [spec.name, spec]));
    for (const spec of program.constants ?? []) {
      const found = constants.get(spec.name);
      if (!found || !fits(found, spec)) {
        throw new UserError(
          `the host step's constant '${spec.name}' is ${found ? describe(found) : 'missing'}, not ${describe(spec)}; ${REMAKE}`,
        );
      }
    }
    check(program);
  }

  /**
   * @param {ReadonlyMap<string, Tensor>} tensors at least the program's inputs
   * @returns {Map<string, Tensor>} the program's outputs
   * @throws {Error} an input is missing or of another shape, or an op cannot take its tensors; names op and tensor.
   */
  run(tensors) {
    /** @type {Map<string, Tensor>} */
    const known = new Map(this.constants);
    for (const name of this.program.inputs) known.set(name, this.input(name, tensors));
    this.program.ops.forEach((item, number) => known.set(item.output, runOp(item, number, known)));
    return new Map(this.program.outputs.map((name) => [name, present(known, name)]));
  }

  /** @param {string} name @param {ReadonlyMap<string, Tensor>} tensors */
  input(name, tensors) {
    const tensor = tensors.get(name);
    if (!tensor) throw new Error(`the host step needs '${name}' but was given ${[...tensors.keys()].join(', ') || 'nothing'}`);
    const spec = this.specs.get(name);
    if (spec && !fits(tensor, spec)) throw new Error(`the host step's '${name}' is ${describe(tensor)}, not ${describe(spec)}`);
    if (tensor.shape.length > MAX_RANK)
      throw new Error(`the host step's '${name}' is ${describe(tensor)}: rank above ${MAX_RANK}`);
    return tensor;
  }
}

/** @param {HostProgram} program */
function check(program) {
  const known = new Set([...program.inputs, ...(program.constants ?? []).map((spec) => spec.name)]);
  program.ops.forEach((item, number) => {
    const label = labelOf(item, number);
    const found = Object.hasOwn(OPS, item.op) ? OPS[item.op] : undefined;
    if (!found) throw new UserError(`host step ${label} is not an op this page knows; take a newer page, or ${REMAKE}`);
    if (item.inputs.length < found.least || item.inputs.length > found.most) {
      throw new UserError(
        `host step ${label} has ${item.inputs.length} inputs, not ${found.least} to ${found.most}; ${REMAKE}`,
      );
    }
    const given = Object.keys(item.attributes ?? {});
    const wrong = [
      ...found.required.filter((name) => !given.includes(name)),
      ...given.filter((name) => !found.required.includes(name) && !found.optional.includes(name)),
    ];
    if (wrong.length)
      throw new UserError(`host step ${label} lacks or does not know the attribute ${wrong.join(', ')}; ${REMAKE}`);
    for (const name of item.inputs) {
      if (!known.has(name))
        throw new UserError(`host step ${label} reads '${name}', which is not computed before it; ${REMAKE}`);
    }
    if (known.has(item.output)) throw new UserError(`host step ${label} assigns that name a second time; ${REMAKE}`);
    known.add(item.output);
  });
  for (const name of program.outputs) {
    if (!known.has(name)) throw new UserError(`the host step's output '${name}' is never computed; ${REMAKE}`);
  }
}

/** @param {HostOp} item @param {number} number @param {Map<string, Tensor>} known @returns {Tensor} */
function runOp(item, number, known) {
  const inputs = item.inputs.map((name) => present(known, name));
  let result;
  try {
    result = OPS[item.op].call(inputs, item.attributes ?? {});
  } catch (error) {
    const shapes = item.inputs.map((name, index) => `'${name}' ${describe(inputs[index])}`).join(', ');
    throw new Error(`host step ${labelOf(item, number)} cannot take ${shapes}: ${messageOf(error)}`, { cause: error });
  }
  if (result.shape.length > MAX_RANK)
    throw new Error(`host step ${labelOf(item, number)} gives rank ${result.shape.length}, more than ${MAX_RANK}`);
  return result;
}

/** @param {HostOp} item @param {number} number */
function labelOf(item, number) {
  return `op ${number} '${item.op}' giving '${item.output}'`;
}

/** @param {ReadonlyMap<string, Tensor>} known @param {string} name */
function present(known, name) {
  const tensor = known.get(name);
  if (!tensor) throw new Error(`the host step has no '${name}'`);
  return tensor;
}
