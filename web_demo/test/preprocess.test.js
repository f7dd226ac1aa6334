import test from 'node:test';
import { preprocess } from '../src/preprocess.js';
import { assertClose, cases, get, unpacked } from './goldens.js';

for (const { name, settings, tensors } of await cases('resizes')) {
  test(`pre-processing ${name}`, () => {
    // Whole pixel values are the same to the last bit; sums in float32 are rounded differently.
    const tolerance = settings.preprocess.resize === 'bilinear_8bit' ? 0 : 1e-5;
    assertClose(preprocess(unpacked(get(tensors, 'picture')), settings.preprocess), get(tensors, 'input'), tolerance, name);
  });
}
