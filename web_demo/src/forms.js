/**
 * Compiles the graphs of the first form that the GPU accepts. The forms are never mixed: their outputs differ in rounding, and
 * only whole forms were verified.
 *
 * @typedef {import('./manifest.js').Form} Form
 * @typedef {import('./manifest.js').GraphSpec} GraphSpec
 */

import { UserError } from './errors.js';

/**
 * @template {{delete: () => void}} G
 * @param {readonly import('./manifest.js').FormGraphs[]} forms in the order of trying, at least one
 * @param {(spec: GraphSpec) => Promise<G>} compile throws a UserError if the GPU does not accept the whole graph
 * @returns {Promise<{form: Form, a: G, b?: G, m?: G, refusal?: string}>} without `b` where one graph gives boxes and logits,
 *   without `m` where there are no masks; `refusal`: why the form before is not used
 * @throws {UserError} the last form's.
 */
export async function compileFirst(forms, compile) {
  /** @type {string | undefined} */
  let refusal;
  for (const [number, graphs] of forms.entries()) {
    try {
      return { form: graphs.form, ...(await compileAll(graphs, compile)), refusal };
    } catch (error) {
      if (!(error instanceof UserError) || number + 1 === forms.length) throw error;
      refusal = error.message;
    }
  }
  throw new RangeError('there is no form to compile');
}

/**
 * @template {{delete: () => void}} G
 * @param {import('./manifest.js').FormGraphs} graphs
 * @param {(spec: GraphSpec) => Promise<G>} compile
 * @returns {Promise<{a: G, b?: G, m?: G}>}
 */
async function compileAll({ a, b, m }, compile) {
  /** @type {G[]} */
  const made = [];
  const kept = async (/** @type {GraphSpec} */ spec) => {
    const graph = await compile(spec);
    made.push(graph);
    return graph;
  };
  try {
    return { a: await kept(a), b: b && (await kept(b)), m: m && (await kept(m)) };
  } catch (error) {
    for (const graph of made) graph.delete();
    throw error;
  }
}
