/**
 * Compiles the graphs of the first form that the GPU accepts. The forms are never mixed: their outputs differ in rounding, and
 * only pairs were verified.
 *
 * @typedef {import('./manifest.js').Form} Form
 * @typedef {import('./manifest.js').GraphSpec} GraphSpec
 */

import { UserError } from './errors.js';

/**
 * @template {{delete: () => void}} G
 * @param {readonly import('./manifest.js').FormGraphs[]} forms in the order of trying, at least one
 * @param {(spec: GraphSpec) => Promise<G>} compile throws a UserError if the GPU does not accept the whole graph
 * @returns {Promise<{form: Form, a: G, b?: G, refusal?: string}>} without `b` where there is one graph; `refusal`: why the
 *   form before is not used
 * @throws {UserError} the last form's.
 */
export async function compileFirst(forms, compile) {
  /** @type {string | undefined} */
  let refusal;
  for (const [number, { form, a, b }] of forms.entries()) {
    try {
      return { form, ...(await compilePair(a, b, compile)), refusal };
    } catch (error) {
      if (!(error instanceof UserError) || number + 1 === forms.length) throw error;
      refusal = error.message;
    }
  }
  throw new RangeError('there is no form to compile');
}

/**
 * @template {{delete: () => void}} G
 * @param {GraphSpec} a
 * @param {GraphSpec | undefined} b
 * @param {(spec: GraphSpec) => Promise<G>} compile
 * @returns {Promise<{a: G, b?: G}>}
 */
async function compilePair(a, b, compile) {
  const first = await compile(a);
  if (!b) return { a: first };
  try {
    return { a: first, b: await compile(b) };
  } catch (error) {
    first.delete();
    throw error;
  }
}
