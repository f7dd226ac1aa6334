import test from 'node:test';
import { preprocess } from '../src/preprocess.js';
import { assertClose, cases, get, unpacked } from './goldens.js';

for (const { name, settings, tensors } of await cases('resizes')) {
  test(`pre-processing ${name}`, () => {
    assertClose(preprocess(unpacked(get(tensors, 'picture')), settings.preprocess), get(tensors, 'input'), 1e-5, name);
  });
}
