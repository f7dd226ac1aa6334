/** Tests in a real browser what the page draws beside boxes: masks and keypoints. The variables are harness.js's. */

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { classColour } from '../../src/colours.js';
import { Mask } from '../../src/masks.js';
import { FILES, GOLDENS, SECONDS, SHOTS, chosen, formShown, settled, shared, startPage } from './harness.js';

startPage();

test('masks are computed, compared with the golden ones and drawn translucent, for another threshold too', async () => {
  const { state, text, report } = await chosen(path.join(GOLDENS, 'bundles/masks'));
  assert.equal(state, 'agrees', text);
  assert.match(text, /2 detections matched .* lowest IoU of masks 1\.0000/);
  assert(report.chain.dispatches.m > 0);
  const expected = JSON.parse(await readFile(path.join(GOLDENS, 'bundles/masks.json'), 'utf-8')).masks;
  const counts = (/** @type {any[]} */ found) => found.map(({ mask }) => new Mask(mask.width, mask.height, mask.runs).counts);
  assert.deepEqual(counts(report.found), expected);
  assert.match((await formShown()).note, /Both graphs, in their portable form, ran entirely on/);
  assert.match(await shared.evaluate('document.querySelector("#times").innerText'), /Graph M[^]*Masks/);
  await shared.screenshot(path.join(SHOTS, 'masks-hand-made.png'));

  await shared.choose('#choose-picture', path.join(FILES, 'masks.png'));
  await shared.until(
    'report.found.every(({mask}) => mask?.width === 320) && !document.body.hasAttribute("aria-busy")',
    SECONDS,
  );
  const [item] = (await settled(shared)).report.found;
  const mask = new Mask(item.mask.width, item.mask.height, item.mask.runs);
  assert.deepEqual([item.name, mask.width, mask.height], ['blue', 320, 240]);
  // In the middle of the mask but beside box and label, the picture is tinted; outside it is black as before.
  const [inside, outside] = await shared.evaluate(`(() => {
    const canvas = document.querySelector('canvas');
    const at = (x, y) =>
      [...canvas.getContext('2d').getImageData(x * canvas.width / 320, y * canvas.height / 240, 1, 1).data.slice(0, 3)];
    return [at(205, 90), at(20, 220)];
  })()`);
  assert.deepEqual(outside, [0, 0, 0]);
  const [colour, opacity] = [classColour(2), 110 / 255];
  const blue = [0, 0, 255].map((value, channel) => value + (colour[channel] - value) * opacity);
  inside.forEach((/** @type {number} */ value, /** @type {number} */ channel) =>
    assert(Math.abs(value - blue[channel]) < 3, `${inside} for ${blue}`),
  );
  await shared.screenshot(path.join(SHOTS, 'masks-picture.png'));

  const before = (await settled(shared)).report.found.length;
  await shared.evaluate(`(() => {
    const slider = document.querySelector('#threshold');
    slider.value = slider.min;
    slider.dispatchEvent(new Event('input'));
  })()`);
  await shared.until(`report.found.length > ${before} && report.found.every(({mask}) => mask)`, SECONDS);
});

test('keypoints are compared with the golden ones, and drawn where their score is one half or more', async () => {
  const { state, text, report } = await chosen(path.join(GOLDENS, 'bundles/keypoints'));
  assert.equal(state, 'agrees', text);
  assert.match(text, /2 detections matched .* keypoints within 0\.00 % of the box's diagonal/);
  assert.deepEqual(
    report.found.map((/** @type {any} */ item) => [item.name, item.keypoints.length]),
    [
      ['red', 3],
      ['green', 2],
    ],
  );
  assert.match(await shared.evaluate('document.querySelector("#found").innerText'), /Keypoints[^]*red[^]*1 of 3/);

  await shared.choose('#choose-picture', path.join(FILES, 'keypoints.png'));
  await shared.until('report.found[0].box[2] > 100 && !document.body.hasAttribute("aria-busy")', SECONDS);
  const { found } = (await settled(shared)).report;
  await shared.screenshot(path.join(SHOTS, 'keypoints-picture.png'));
  assert.deepEqual(
    found.map((/** @type {any} */ item) => item.name),
    ['red', 'green', 'green'],
  );
  // Two points of the best and the middle of the line between them have its colour; beside the line is the picture.
  const [from, to] = found[0].keypoints;
  const [along, length] = [{ x: to.x - from.x, y: to.y - from.y }, Math.hypot(to.x - from.x, to.y - from.y)];
  const beside = (/** @type {number} */ share, /** @type {number} */ apart) => [
    from.x + share * along.x - (apart * along.y) / length,
    from.y + share * along.y + (apart * along.x) / length,
  ];
  const places = [beside(0, 0), beside(1, 0), beside(0.5, 0), beside(0.5, 12)];
  const pixels = await shared.evaluate(`(() => {
    const canvas = document.querySelector('canvas');
    const at = ([x, y]) =>
      [...canvas.getContext('2d').getImageData(x * canvas.width / 320, y * canvas.height / 240, 1, 1).data.slice(0, 3)];
    return ${JSON.stringify(places)}.map(at);
  })()`);
  assert.deepEqual(pixels, [...Array(3).fill(classColour(0)), [0, 0, 0]]);
});
