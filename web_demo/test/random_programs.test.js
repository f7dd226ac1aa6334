/** `tests/host_runtime/random_host_programs.py`: same results and refusals as NumPy, at the same stage. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { UserError, messageOf } from '../src/errors.js';
import { HostStep } from '../src/host/host_step.js';
import { schemaProblem } from '../src/json_schema.js';
import { zeros } from '../src/tensor.js';
import { SCHEMA, assertClose, cases, get, scaleOf } from './goldens.js';

/** @typedef {import('../src/tensor.js').Tensor} Tensor */
/** @typedef {import('../src/tensor.js').TensorSpec} TensorSpec */
/** @typedef {{name: string, settings: any, tensors: Map<string, Tensor>}} Case */

const golden = await cases('random_programs');

/** The same steps as reading a manifest and opening the bundle. @param {Case} given */
function made({ settings, tensors }) {
  const tensorSchema = { type: 'array', items: SCHEMA.$defs.tensor };
  const problem =
    schemaProblem(settings.host_step, SCHEMA.properties.host_step, SCHEMA) ??
    schemaProblem(settings.inputs, tensorSchema, SCHEMA);
  if (problem) throw new UserError(problem);
  // A program refused at compilation has no tensors in its file.
  const constants = settings.host_step.constants.map((/** @type {TensorSpec} */ { name, shape, dtype }) => [
    name,
    tensors.get(`const.${name}`) ?? zeros(dtype, shape),
  ]);
  return new HostStep(settings.host_step, new Map(constants), settings.inputs);
}

for (const given of golden) {
  test(`random program ${given.name}`, () => {
    const { settings, tensors } = given;
    if (settings.refused === 'made') {
      assert.throws(() => made(given), UserError);
      return;
    }
    const step = made(given);
    const inputs = new Map(settings.inputs.map((/** @type {TensorSpec} */ { name }) => [name, get(tensors, `in.${name}`)]));
    if (settings.refused === 'run') {
      assert.throws(
        () => step.run(inputs),
        (error) => /^host step op .* outside/.test(messageOf(error)),
      );
      return;
    }
    for (const [name, value] of step.run(inputs)) {
      const expected = get(tensors, `out.${name}`);
      assertClose(value, expected, settings.tolerance * scaleOf(expected), name);
    }
  });
}

test('there are 300, of every kind', () => {
  assert(golden.length >= 300);
  assert.deepEqual([...new Set(golden.map(({ settings }) => settings.refused))].sort(), ['', 'made', 'run']);
});
