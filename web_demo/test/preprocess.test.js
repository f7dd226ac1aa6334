import assert from 'node:assert/strict';
import test from 'node:test';
import { inWholePixels, pixelsOf, preprocess } from '../src/preprocess.js';
import { assertClose, cases, get, unpacked } from './goldens.js';

for (const { name, settings, tensors } of await cases('resizes')) {
  test(`pre-processing ${name}`, () => {
    // Whole pixel values are the same to the last bit; sums in float32 are rounded differently.
    const tolerance = settings.preprocess.resize === 'bilinear_8bit' ? 0 : 1e-5;
    assertClose(preprocess(unpacked(get(tensors, 'picture')), settings.preprocess), get(tensors, 'input'), tolerance, name);
  });

  if (inWholePixels(settings.preprocess)) {
    test(`the pixels of ${name}`, () => {
      const input = get(tensors, 'input');
      assertClose(pixelsOf(unpacked(get(tensors, 'picture')), settings.preprocess), unnormalised(input, settings), 0, name);
    });
  }
}

/**
 * The pixels of which Python computed a normalised input, with the channels last.
 *
 * @param {import('../src/tensor.js').Tensor} input float32 [1, channels, height, width]
 * @param {{preprocess: import('../src/manifest.js').Preprocess}} settings
 * @returns {import('../src/tensor.js').Tensor} uint8 [1, height, width, channels]
 */
function unnormalised({ shape: [, channels, height, width], data: values }, { preprocess: { mean, std, scale } }) {
  const data = Uint8Array.from(values, (_, at) => {
    const [pixel, channel] = [Math.floor(at / channels), at % channels];
    return Math.round((values[channel * height * width + pixel] * std[channel] + mean[channel]) / scale);
  });
  return { dtype: 'uint8', shape: [1, height, width, channels], data };
}

/** Grey, and as it is: neither scaled nor normalised. @type {import('../src/manifest.js').Preprocess} */
const PLAIN = {
  height: 1,
  width: 3,
  resize: 'bilinear_8bit',
  scale: 1,
  mean: [0],
  std: [1],
  channels: 'L',
  layout: 'NCHW',
  fit: 'letterbox',
  fill: [114],
};
const DOT = { width: 1, height: 1, data: Uint8Array.of(7, 7, 7, 255) };

test('what pads the picture is whole in pixels, and keeps its fraction in floats', () => {
  assert.deepEqual([...pixelsOf(DOT, PLAIN).data], [114, 7, 114]);
  assert.deepEqual([...preprocess(DOT, PLAIN).data], [114, 7, 114]);
  assert.deepEqual([...preprocess(DOT, { ...PLAIN, fill: [0.5] }).data], [0.5, 7, 0.5]);
});

test('only a resize in 8 bits with a whole fill gives pixels', () => {
  assert(inWholePixels(PLAIN) && inWholePixels({ ...PLAIN, fit: 'stretch', fill: undefined }));
  /** @type {Partial<import('../src/manifest.js').Preprocess>[]} */
  const others = [{ resize: 'bilinear' }, { resize: 'bilinear_antialias' }, { fill: [0.5] }, { fill: [256] }, { fill: [-1] }];
  for (const other of others) {
    assert(!inWholePixels({ ...PLAIN, ...other }), JSON.stringify(other));
    assert.throws(() => pixelsOf(DOT, { ...PLAIN, ...other }), RangeError, JSON.stringify(other));
  }
});
