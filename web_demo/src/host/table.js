/**
 * Checks host ops by the rules of `host_runtime/host_ops.json`, like `host_table.py`. The message of an error continues a
 * sentence that starts with the op.
 *
 * @typedef {import('../tensor.js').DType} DType
 * @typedef {{dtype: DType, shape: readonly number[]}} Kind what is known of a tensor before it is computed
 * @typedef {{name: string, dtype: DType, ranks: number[], optional?: boolean, repeats?: number}} InputRule
 * @typedef {{type: 'integer' | 'number' | 'text' | 'integers', minimum?: number, maximum?: number, values?: string[],
 *   optional?: boolean}} AttributeRule
 * @typedef {{verb: string, inputs: InputRule[], attributes?: Record<string, AttributeRule>,
 *   output: {dtype: DType, shape: string}}} OpRule
 * @typedef {Record<string, any>} Attributes
 */

import table from '../../../host_runtime/host_ops.json' with { type: 'json' };
import { SHAPES } from './shapes.js';
import { sizeOf } from '../tensor.js';

export const MAX_RANK = table.max_rank;
export const MAX_ELEMENTS = table.max_elements;
export const MAX_OPS = table.max_ops;
export const MAX_GROWTH = table.max_growth;
export const FREE_ELEMENTS = table.free_elements;
export const MAX_WORK = table.max_work;
export const DTYPES = table.dtypes;
/** Every op by its name. @type {Record<string, OpRule>} */
export const HOST_OPS = /** @type {any} */ (table.ops);

const WORDS = { integer: 'a whole number', number: 'a number', integers: 'a list of whole numbers', text: '' };

/** The least and the greatest number of inputs. @param {OpRule} rule */
export function arity({ inputs }) {
  return {
    least: inputs.filter(({ optional }) => !optional).length,
    most: inputs.reduce((sum, { repeats = 1 }) => sum + repeats, 0),
  };
}

/** @param {OpRule} rule @param {Attributes} given @throws {RangeError} one is missing, unknown, or violates its rule. */
export function checkAttributes({ attributes = {} }, given) {
  const required = Object.keys(attributes).filter((name) => !attributes[name].optional);
  const wrong = [
    ...required.filter((name) => !Object.hasOwn(given, name)),
    ...Object.keys(given).filter((name) => !Object.hasOwn(attributes, name)),
  ];
  if (wrong.length) throw new RangeError(`lacks or does not know the attribute ${wrong.join(', ')}`);
  for (const [name, value] of Object.entries(given)) {
    if (accepts(attributes[name], value)) continue;
    const shown = typeof value === 'string' ? `'${value}'` : JSON.stringify(value);
    throw new RangeError(`has ${name} = ${shown?.slice(0, 60)}, not ${wanted(attributes[name])}`);
  }
}

/** @param {AttributeRule} rule @param {unknown} value */
function accepts({ type, minimum = 0, maximum = 0, values = [] }, value) {
  /** @param {unknown} item */
  const within = (item) => typeof item === 'number' && item >= minimum && item <= maximum;
  if (type === 'text') return typeof value === 'string' && values.includes(value);
  if (type === 'number') return within(value);
  const items = type === 'integers' ? value : [value];
  return Array.isArray(items) && items.every((item) => within(item) && Number.isInteger(item));
}

/** @param {AttributeRule} rule */
function wanted({ type, minimum, maximum, values = [] }) {
  return type === 'text' ? values.map((value) => `'${value}'`).join(' or ') : `${WORDS[type]} from ${minimum} to ${maximum}`;
}

/**
 * The output's type and shape.
 *
 * @param {OpRule} rule @param {Kind[]} kinds the inputs', as many as `arity` allows
 * @param {Attributes} attributes checked ones
 * @returns {Kind}
 * @throws {RangeError} the op does not accept these inputs.
 */
export function resultOf(rule, kinds, attributes) {
  kinds.forEach(({ dtype, shape }, index) => {
    const input = rule.inputs[Math.min(index, rule.inputs.length - 1)];
    const [least, most] = input.ranks;
    if (dtype !== input.dtype) {
      throw new RangeError(
        `input '${input.name}' is ${dtype}, not ${input.dtype === 'int32' ? 'integers (int32)' : input.dtype}`,
      );
    }
    if (shape.length < least || shape.length > most)
      throw new RangeError(`input '${input.name}' has rank ${shape.length}, not ${least} to ${most}`);
  });
  const shape = SHAPES[rule.output.shape](
    kinds.map((kind) => kind.shape),
    attributes,
  );
  if (shape.length > MAX_RANK) throw new RangeError(`it gives rank ${shape.length}, more than ${MAX_RANK}`);
  if (sizeOf(shape) > MAX_ELEMENTS) throw new RangeError(`it gives ${sizeOf(shape)} elements, more than ${MAX_ELEMENTS}`);
  return { dtype: rule.output.dtype, shape };
}

/** Whether a host program supports a tensor of this type and shape. @param {Kind} kind */
export function supported({ dtype, shape }) {
  return DTYPES.includes(dtype) && shape.length <= MAX_RANK && !shape.includes(0);
}
