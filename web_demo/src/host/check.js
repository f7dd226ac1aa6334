/**
 * Checks a host program once, before anything runs, as `host_runtime/host_program.py` does.
 *
 * @typedef {import('../manifest.js').HostProgram} HostProgram
 * @typedef {import('../manifest.js').HostOp} HostOp
 * @typedef {import('../tensor.js').TensorSpec} TensorSpec
 * @typedef {import('./table.js').Kind} Kind
 */

import { REMAKE, UserError, messageOf } from '../errors.js';
import { describe, sameShape, sizeOf } from '../tensor.js';
import {
  FREE_ELEMENTS,
  HOST_OPS,
  MAX_ELEMENTS,
  MAX_GROWTH,
  MAX_OPS,
  MAX_WORK,
  arity,
  checkAttributes,
  resultOf,
  supported,
} from './table.js';

/**
 * Checks all that does not depend on values: shapes, memory and time where the shapes of the inputs are given.
 *
 * @param {HostProgram} program
 * @param {TensorSpec[]} inputSpecs shapes and types of inputs; those of other tensors are ignored
 * @param {TensorSpec[]} [outputSpecs] what graph B reads: each output must be one of these; by default anything may be an output
 * @throws {UserError} a program that cannot run, or that would take more than it may; the message names the op.
 */
export function checkHostProgram(program, inputSpecs, outputSpecs) {
  const specs = new Map(inputSpecs.map((spec) => [spec.name, spec]));
  /** @type {Map<string, Kind | undefined>} */
  const known = new Map();
  /** @param {string} name @param {Kind | undefined} kind @param {string} what */
  const assign = (name, kind, what) => {
    if (known.has(name)) throw new UserError(`${what} assigns that name a second time; ${REMAKE}`);
    if (kind && !supported(kind))
      throw new UserError(`${what} is ${describe(kind)}: rank or dtype is not supported; ${REMAKE}`);
    known.set(name, kind);
  };
  for (const name of program.inputs) assign(name, specs.get(name), `the host step's input '${name}'`);
  for (const spec of program.constants ?? []) assign(spec.name, spec, `the host step's constant '${spec.name}'`);
  const { ops } = program;
  if (ops.length > MAX_OPS) throw new UserError(`the host step has ${ops.length} ops, more than ${MAX_OPS}; ${REMAKE}`);
  const count = counter([...known.values()]);
  ops.forEach((item, number) => {
    const result = checkOp(item, number, known);
    assign(item.output, result, `host step ${labelOf(item, number)}`);
    if (result) count(item, number, /** @type {Kind} */ (known.get(item.inputs[0])), result);
  });
  for (const name of program.outputs) {
    if (!known.has(name)) throw new UserError(`the host step's output '${name}' is never computed; ${REMAKE}`);
  }
  if (new Set(program.outputs).size !== program.outputs.length)
    throw new UserError(`the host step's outputs name a tensor twice (${program.outputs.join(', ')}); ${REMAKE}`);
  if (outputSpecs) checkOutputs(program, known, outputSpecs);
}

/**
 * Sums up what a program takes; `host_table.py` describes the limits.
 *
 * @param {(Kind | undefined)[]} given of inputs and constants; a limit that depends on an unknown one does not apply
 * @returns {(item: HostOp, number: number, first: Kind, result: Kind) => void} counts an op; throws where it exceeds a limit
 */
function counter(given) {
  const known = given.reduce((sum, kind) => sum + (kind ? sizeOf(kind.shape) : 0), 0);
  const justified = given.includes(undefined) ? MAX_ELEMENTS : Math.max(FREE_ELEMENTS, MAX_GROWTH * known);
  const limit = Math.min(justified, MAX_ELEMENTS);
  let elements = 0;
  let work = 0;
  return (item, number, first, { shape }) => {
    elements += sizeOf(shape);
    work += sizeOf(shape) * (HOST_OPS[item.op].output.shape === 'linear' ? (first.shape.at(-1) ?? 1) : 1);
    if (elements > limit) {
      throw new UserError(
        `host step ${labelOf(item, number)} brings what the host step computes to ${elements} elements, more than the ` +
          `${limit} that its inputs and constants justify; ${REMAKE}`,
      );
    }
    if (work > MAX_WORK) {
      throw new UserError(
        `host step ${labelOf(item, number)} brings the host step to ${work} multiply-adds, more than ${MAX_WORK}; ${REMAKE}`,
      );
    }
  };
}

/** @param {HostProgram} program @param {ReadonlyMap<string, Kind | undefined>} known @param {TensorSpec[]} specs */
function checkOutputs(program, known, specs) {
  for (const name of program.outputs) {
    const [given, read] = [known.get(name), specs.find((spec) => spec.name === name)];
    if (!read) throw new UserError(`the host step's output '${name}' is not an input of graph b; ${REMAKE}`);
    if (given && !(given.dtype === read.dtype && sameShape(given.shape, read.shape))) {
      throw new UserError(
        `the host step gives '${name}' as ${describe(given)}, but graph b reads ${describe(read)}; ${REMAKE}`,
      );
    }
  }
}

/**
 * The output's type and shape; undefined where the inputs' are not all known.
 *
 * @param {HostOp} item @param {number} number @param {ReadonlyMap<string, Kind | undefined>} known
 * @returns {Kind | undefined}
 */
function checkOp(item, number, known) {
  const label = labelOf(item, number);
  const rule = Object.hasOwn(HOST_OPS, item.op) ? HOST_OPS[item.op] : undefined;
  if (!rule) throw new UserError(`host step ${label} is not an op this page knows; take a newer page, or ${REMAKE}`);
  const { least, most } = arity(rule);
  if (item.inputs.length < least || item.inputs.length > most)
    throw new UserError(`host step ${label} has ${item.inputs.length} inputs, not ${least} to ${most}; ${REMAKE}`);
  try {
    checkAttributes(rule, item.attributes ?? {});
  } catch (error) {
    throw new UserError(`host step ${label} ${messageOf(error)}; ${REMAKE}`, error);
  }
  for (const name of item.inputs) {
    if (!known.has(name)) throw new UserError(`host step ${label} reads '${name}', which is not computed before it; ${REMAKE}`);
  }
  const kinds = item.inputs.map((name) => known.get(name)).filter((kind) => kind !== undefined);
  if (kinds.length < item.inputs.length) return undefined;
  try {
    return resultOf(rule, kinds, item.attributes ?? {});
  } catch (error) {
    throw new UserError(`${refusal(item, number, kinds)}: ${messageOf(error)}; ${REMAKE}`, error);
  }
}

/** A message that names the op and its inputs. @param {HostOp} item @param {number} number @param {Kind[]} kinds */
export function refusal(item, number, kinds) {
  const shapes = item.inputs.map((name, index) => `'${name}' ${describe(kinds[index])}`).join(', ');
  return `host step ${labelOf(item, number)} cannot ${HOST_OPS[item.op].verb} ${shapes}`;
}

/** @param {HostOp} item @param {number} number */
function labelOf(item, number) {
  return `op ${number} '${item.op}' giving '${item.output}'`;
}
