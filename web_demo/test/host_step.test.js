import assert from 'node:assert/strict';
import test from 'node:test';
import { UserError } from '../src/errors.js';
import { HostStep, KERNELS } from '../src/host/host_step.js';
import { HOST_OPS } from '../src/host/table.js';
import { floats } from '../src/tensor.js';
import { assertClose, cases, get, scaleOf } from './goldens.js';

/** @typedef {import('../src/tensor.js').Tensor} Tensor */

/** The tensors whose names start with a prefix, which is removed. @param {Map<string, Tensor>} all @param {string} prefix */
const under = (all, prefix) =>
  new Map([...all].filter(([name]) => name.startsWith(prefix)).map(([name, value]) => [name.slice(prefix.length), value]));

const golden = await cases('host_steps');

for (const { name, settings, tensors } of golden) {
  test(`host step ${name}`, () => {
    const inputs = under(tensors, 'in.');
    const specs = [...inputs].map(([input, { shape, dtype }]) => ({ name: input, shape: [...shape], dtype }));
    const found = new HostStep(settings.host_step, under(tensors, 'const.'), specs).run(inputs);
    const expected = under(tensors, 'out.');
    assert.deepEqual([...found.keys()], [...expected.keys()]);
    for (const [output, value] of expected) assertClose(get(found, output), value, settings.tolerance * scaleOf(value), output);
  });
}

test('every op of the table has a kernel and a golden case', () => {
  const seen = new Set(golden.flatMap(({ settings }) => settings.host_step.ops.map((/** @type {{op: string}} */ op) => op.op)));
  const ops = Object.keys(HOST_OPS).sort();
  assert.deepEqual(Object.keys(KERNELS).sort(), ops, 'KERNELS in web_demo/src/host/host_step.js and host_ops.json differ');
  assert.deepEqual([...seen].sort(), ops, 'the cases of tests/host_runtime/host_cases.py and host_ops.json differ');
});

/** @param {Partial<import('../src/manifest.js').HostOp>} op */
function program(op) {
  const whole = { op: 'relu', inputs: ['x'], output: 'y', ...op };
  return { inputs: ['x'], ops: [whole], outputs: [whole.output] };
}

test('a program that cannot run is refused before it runs', () => {
  /** @type {[Partial<import('../src/manifest.js').HostOp>, RegExp][]} */
  const faults = [
    [{ op: 'conv' }, /not an op this page knows/],
    [{ op: 'toString' }, /not an op this page knows/],
    [{ inputs: [] }, /0 inputs/],
    [{ inputs: ['x', 'x'] }, /2 inputs/],
    [{ attributes: { k: 1 } }, /attribute k/],
    [{ op: 'topk', attributes: { k: 1 } }, /attribute axis/],
    [{ inputs: ['z'] }, /reads 'z'/],
    [{ output: 'x' }, /second time/],
  ];
  for (const [op, message] of faults)
    assert.throws(
      () => new HostStep(program(op), new Map(), []),
      (error) => error instanceof UserError && message.test(error.message),
    );
  assert.throws(() => new HostStep({ ...program({}), outputs: ['q'] }, new Map(), []), /never computed/);
  const constants = [{ name: 'c', shape: [2], dtype: /** @type {const} */ ('float32') }];
  assert.throws(() => new HostStep({ ...program({}), constants }, new Map(), []), /'c' is missing/);
  assert.throws(
    () => new HostStep({ ...program({}), constants }, new Map([['c', floats(new Float32Array(3), [3])]]), []),
    /float32\[3\], not float32\[2\]/,
  );
});

test('an error of an op names its tensors and the reason', () => {
  const x = floats(new Float32Array(6), [1, 3, 2]);
  const indices = (/** @type {number} */ index) =>
    /** @type {Tensor} */ ({ dtype: 'int32', shape: [1, 1], data: Int32Array.of(index) });
  /** @type {[Partial<import('../src/manifest.js').HostOp>, RegExp][]} */
  const faults = [
    [{ op: 'reshape', attributes: { shape: [5] } }, /do not fill \[5\]/],
    [{ op: 'slice', attributes: { axis: 3, start: 0, end: 1 } }, /axis = 3/],
    [{ op: 'gather', inputs: ['x', 'x'], attributes: { axis: 1 } }, /not integers/],
    [{ op: 'linear', inputs: ['x', 'x', 'x'] }, /cannot multiply/],
    [{ op: 'layer_norm', inputs: ['x', 'x'], attributes: { eps: 1e-5 } }, /cannot scale/],
    [{ op: 'concat', attributes: { axis: 0.5 } }, /axis = 0.5/],
    [{ op: 'gelu', attributes: { approximate: 'erf' } }, /'erf'/],
    [{ op: 'topk', attributes: { k: 9, axis: 1 } }, /9 largest of 3/],
  ];
  for (const [op, message] of faults)
    assert.throws(() => new HostStep(program(op), new Map(), []).run(new Map([['x', x]])), message);
  const gather = {
    inputs: ['x', 'i'],
    ops: [{ op: 'gather', inputs: ['x', 'i'], output: 'y', attributes: { axis: 1 } }],
    outputs: ['y'],
  };
  for (const index of [-1, 3])
    assert.throws(
      () =>
        new HostStep(gather, new Map(), []).run(
          new Map([
            ['x', x],
            ['i', indices(index)],
          ]),
        ),
      /outside 0..2/,
    );
  const specs = [{ name: 'x', shape: [2], dtype: /** @type {const} */ ('float32') }];
  assert.throws(
    () => new HostStep(program({}), new Map(), specs).run(new Map([['x', x]])),
    /'x' is float32\[1, 3, 2\], not float32\[2\]/,
  );
  assert.throws(() => new HostStep(program({}), new Map(), specs).run(new Map()), /given nothing/);
});
