import assert from 'node:assert/strict';
import test from 'node:test';
import { difference, within } from '../src/compare.js';
import { residencyProblem } from '../src/gpu/residency.js';
import { iou, matchDetections, pairs } from '../src/match.js';

test('equal tensors agree, and every kind of difference is detected', () => {
  const y = Float32Array.from({ length: 100 }, (_, index) => Math.sin(index));
  assert.deepEqual(difference(y, y), {
    correlation: 1,
    relativeError: 0,
    maxAbsError: 0,
    referenceMax: Math.max(...y.map(Math.abs)),
  });
  const off = (/** @type {(x: number, index: number) => number} */ change) => within(difference(y.map(change), y), 0.999);
  assert(off((x) => x * 1.001));
  assert(!off((x) => x * 1.1)); // correlation alone is 1
  assert(!off((x) => x + 0.1));
  assert(!off((x) => -x));
  assert(!off((x, index) => (index === 3 ? NaN : x)));
  assert(!off((x, index) => (index === 3 ? Infinity : x)));
  assert.throws(() => difference([1], [1, 2]));
});

test('constants and infinities', () => {
  assert.equal(difference([2, 2], [2, 2]).correlation, 1);
  assert(Number.isNaN(difference([2, 3], [2, 2]).correlation));
  assert.equal(difference([], []).correlation, 1);
  assert.equal(difference([1, 2, Infinity], [1, 2, Infinity]).correlation, 1);
  assert.equal(difference([1, 2, -Infinity], [1, 2, Infinity]).maxAbsError, Infinity);
});

/** @param {number} score @param {number} [classIndex] @param {number} [left] @returns {import('../src/decode.js').Detection} */
const found = (score, classIndex = 0, left = 0) => ({
  classIndex,
  name: `c${classIndex}`,
  score,
  box: [left, 0, left + 10, 10],
});
const LIMITS = { threshold: 0.5, iou: 0.9, score: 0.02 };
/** @param {import('../src/decode.js').Detection[]} one @param {import('../src/decode.js').Detection[]} other */
const statuses = (one, other) => matchDetections(one, other, LIMITS).map((row) => row.status);

test('detections are compared as sets', () => {
  assert.deepEqual(statuses([found(0.9), found(0.8, 1)], [found(0.8, 1), found(0.91)]), ['matched', 'matched']);
  assert.deepEqual(statuses([found(0.9)], []), ['missing']);
  assert.deepEqual(statuses([], [found(0.9)]), ['extra']);
  assert.deepEqual(statuses([found(0.9)], [found(0.9, 1)]), ['missing', 'extra']);
  assert.deepEqual(statuses([found(0.9)], [found(0.9, 0, 3)]), ['missing', 'extra']);
  assert.deepEqual(statuses([found(0.9)], [found(0.85)]), ['missing', 'extra']);
  assert.deepEqual(statuses([found(0.51)], []), ['borderline']);
  assert.deepEqual(statuses([found(0.53)], [found(0.51)]), ['matched']);
  assert.deepEqual(statuses([found(0.4)], [found(0.3)]), []);
});

test('pairing matches as many detections as possible', () => {
  // Greedy pairing would match left 0 with right 0, the only candidate of left 1.
  assert.deepEqual(
    [
      ...pairs(
        [
          [true, true],
          [true, false],
        ],
        [
          [2, 1],
          [1, 0],
        ],
        [true, true],
        [true, true],
      ),
    ].sort(),
    [
      [0, 1],
      [1, 0],
    ],
  );
  // A required right element replaces an optional one.
  assert.deepEqual([...pairs([[true, true]], [[2, 1]], [false], [false, true])], [[0, 1]]);
  assert.equal(iou([1, 1, 1, 1], [1, 1, 1, 1]), 1);
  assert.equal(iou([1, 1, 1, 1], [2, 2, 2, 2]), 0);
});

test('only a graph that the GPU accepts whole is accepted', () => {
  const taken = 'INFO: [delegate_kernel.cc:984] Initializing WebGPU-based API from graph.';
  assert.equal(residencyProblem([taken]), undefined);
  assert.match(residencyProblem([]) ?? '', /nothing shows/);
  assert.match(residencyProblem([taken, taken]) ?? '', /in 2 parts/);
  const refused = [
    'ERROR: Following operations are not supported by GPU delegate:',
    'GATHER_ND: Operation is not supported.',
    'No operations will run on the GPU, and all 3 operations will run on the CPU.',
  ];
  assert.match(residencyProblem(refused) ?? '', /GATHER_ND: Operation is not supported/);
  assert.match(residencyProblem([taken, ...refused]) ?? '', /GATHER_ND/);
});
