import assert from 'node:assert/strict';
import test from 'node:test';
import { classColour } from '../src/colours.js';
import { decode } from '../src/decode.js';
import { floats } from '../src/tensor.js';
import { assertNear, cases, get, json } from './goldens.js';

for (const { name, settings, tensors } of await cases('decodes')) {
  test(`decoding ${name}`, () => {
    const logits = get(tensors, 'logits');
    const classes = Array.from({ length: logits.shape[2] }, (_, index) => `c${index}`);
    const spec = /** @type {any} */ ({ ...settings, boxes: 'boxes', logits: 'logits' });
    const found = decode(get(tensors, 'boxes'), logits, settings, spec, classes, {
      threshold: settings.threshold,
      nmsIou: settings.nms_iou ?? undefined,
      nmsAcrossClasses: settings.nms_across_classes,
      input: settings.preprocess,
    });
    assert.deepEqual(
      found.map((item) => item.classIndex),
      [...get(tensors, 'found.class_index').data],
    );
    assertNear(
      found.map((item) => item.score),
      get(tensors, 'found.score').data,
      2e-7,
      'scores',
    );
    assertNear(
      found.flatMap((item) => item.box),
      get(tensors, 'found.boxes').data,
      1e-4,
      'boxes',
    );
  });
}

test('NaN and wrong shapes are errors, an unused class has a name', () => {
  const post = /** @type {any} */ ({ num_select: 1 });
  const decoded = (/** @type {number} */ logit, /** @type {(string | null)[]} */ classes) =>
    decode(
      floats(new Float32Array(4), [1, 1, 4]),
      floats(Float32Array.of(logit), [1, 1, 1]),
      { width: 2, height: 2 },
      post,
      classes,
      { threshold: 0.5 },
    );
  assert.equal(decoded(9, [null])[0].name, 'class 0');
  assert.throws(() => decoded(NaN, ['a']), /NaN/);
  assert.throws(() => decoded(1, ['a', 'b']), /2 class names for 1/);
  assert.throws(
    () =>
      decode(
        floats(new Float32Array(3), [1, 1, 3]),
        floats(new Float32Array(1), [1, 1, 1]),
        { width: 2, height: 2 },
        post,
        ['a'],
        { threshold: 0 },
      ),
    /not \[1, Q, 4\]/,
  );
});

test('class colours equal those of the Python runtime', async () => {
  const expected = await json('colours.json');
  assert.deepEqual(
    expected.map((/** @type {unknown} */ _, /** @type {number} */ index) => classColour(index)),
    expected,
  );
});
