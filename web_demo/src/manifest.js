/**
 * Reads the bundle's manifest and checks it: by its schema, then for consistency, like `host_runtime/manifest.py`.
 *
 * @typedef {import('./tensor.js').TensorSpec} TensorSpec
 * @typedef {{file: string, signature: string, inputs: TensorSpec[], outputs: TensorSpec[]}} GraphSpec
 * @typedef {{height: number, width: number, resize: 'bilinear' | 'bilinear_antialias' | 'bilinear_8bit', scale: number,
 *   mean: number[], std: number[], channels: 'RGB' | 'L', layout: 'NCHW', fit?: 'stretch' | 'letterbox' | 'letterbox_top_left',
 *   fill?: number[]}} Preprocess
 * @typedef {{value: number | string | number[], origin: string, requested?: boolean}} SettingRecord
 * @typedef {{op: string, inputs: string[], output: string, attributes?: Record<string, unknown>}} HostOp
 * @typedef {{inputs: string[], constants?: TensorSpec[], ops: HostOp[], outputs: string[]}} HostProgram
 * @typedef {{output: string, kept: string, kind: 'bilinear_above_zero', activation?: 'none' | 'sigmoid', within_box?: boolean}} Masks
 *   Graph M reads the embeddings of the graph before it and `kept`, int32 [K] indices of queries, and gives `output` [1, h, w, K]
 * @typedef {{class_index: number, names: string[], skeleton: [number, number][], sigmas: number[]}} ClassKeypoints
 * @typedef {{output: string, score_weight: number, classes: ClassKeypoints[]}} Keypoints
 *   The last graph gives `output` [1, Q, K, 7]: the keypoints of the classes, one class after the other
 * @typedef {{kind: 'topk_sigmoid', num_select: number, boxes: string, logits: string, box_format: 'cxcywh',
 *   ignored_classes?: number[], masks?: Masks, keypoints?: Keypoints}} Postprocess
 * @typedef {{image: string, tensors: string, detections: string, threshold: number}} Golden
 * @typedef {{a: GraphSpec, b?: GraphSpec, m?: GraphSpec}} Graphs
 *   Without `b`, graph A goes from the image to boxes and logits; `m` computes masks
 * @typedef {{a: string, b?: string, m?: string, pixels?: string}} NativeFiles
 *   The graphs in the GPU delegate's own operators: other files with the same signatures, to be tried first on a GPU. `pixels` is
 *   the name of graph A's input where that is the resized picture itself, uint8 [1, height, width, channels]
 * @typedef {'native' | 'portable'} Form
 * @typedef {{form: Form, a: GraphSpec, b?: GraphSpec, m?: GraphSpec}} FormGraphs the graphs in one form
 * @typedef {{schema_version: 1 | 2 | 3 | 4 | 5 | 6, variant: string, target: string,
 *   weights: {source: string, sha256: string, random: boolean},
 *   versions: Record<string, string>, preprocess: Preprocess, graphs: Graphs, host_step: HostProgram,
 *   postprocess: Postprocess, classes: (string | null)[], files: Record<string, {sha256: string, bytes: number}>,
 *   golden?: Golden, settings?: Record<string, SettingRecord>, native?: NativeFiles}} Manifest
 *   settings: what the detector was built with, by name, each with its origin; for display
 */

import { REMAKE, UserError, messageOf } from './errors.js';
import { parseForeign } from './foreign_json.js';
import { checkHostProgram } from './host/check.js';
import { HOST_OPS, MAX_ELEMENTS } from './host/table.js';
import { schemaProblem } from './json_schema.js';
import { CHANNELS, totalOf } from './keypoints.js';
import { channelsOf, inWholePixels } from './preprocess.js';
import { sameShape, sizeOf } from './tensor.js';

/**
 * Since 2 a bundle may have a native form, since 3 one graph, since 4 masks, since 5 keypoints, since 6 a native form that takes
 * pixels; this page reads every version.
 */
export const SCHEMA_VERSION = 6;
const ONE_GRAPH_VERSION = 3;
const MASKS_VERSION = 4;
const KEYPOINTS_VERSION = 5;
const MASKS_OF_BOXES_VERSION = 5;
const PIXELS_VERSION = 6;
export const MANIFEST_NAME = 'manifest.json';
export const HOST_PARAMS_NAME = 'host_params.safetensors';

/**
 * @param {string} text
 * @param {import('./json_schema.js').Schema} schema `manifest.schema.json`, parsed
 * @param {string} [where] for messages
 * @returns {Manifest}
 * @throws {UserError} it is not JSON, has a newer schema version, violates the schema, or is inconsistent.
 */
export function parseManifest(text, schema, where = MANIFEST_NAME) {
  let data;
  try {
    data = /** @type {any} */ (parseForeign(text));
  } catch (error) {
    throw new UserError(`${where} is not JSON that a bundle may have (${messageOf(error)}); ${REMAKE}`, error);
  }
  const version = data?.schema_version;
  if (Number.isInteger(version) && version > SCHEMA_VERSION && version < 1e6) {
    throw new UserError(
      `${where} has schema version ${version} but this page reads up to ${SCHEMA_VERSION}; use a newer page, or ${REMAKE}`,
    );
  }
  const unknown = schemaProblem(data, schema);
  if (unknown) throw new UserError(`${where} is not a bundle manifest: at ${unknown}; ${REMAKE}`);
  const manifest = /** @type {Manifest} */ (data);
  for (const problem of problems(manifest)) throw new UserError(`${where} is inconsistent: ${problem}; ${REMAKE}`);
  if (manifest.graphs.b) checkHostProgram(manifest.host_step, manifest.graphs.a.outputs, manifest.graphs.b.inputs);
  return manifest;
}

/**
 * The forms to try, in order: the native one first on a GPU, if the bundle has it; the CPU runs the portable one only.
 *
 * @param {Manifest} manifest
 * @param {'gpu' | 'cpu'} processor
 * @returns {FormGraphs[]}
 */
export function formsOf({ graphs: { a, b, m }, native, preprocess: pre }, processor) {
  /** @type {FormGraphs} */
  const portable = { form: 'portable', a, b, m };
  if (!native || processor === 'cpu') return [portable];
  const other = (/** @type {GraphSpec | undefined} */ graph, /** @type {string | undefined} */ file) =>
    graph && file !== undefined ? { ...graph, file } : undefined;
  /** @type {TensorSpec[]} */
  const inputs = native.pixels
    ? [{ name: native.pixels, shape: [1, pre.height, pre.width, channelsOf(pre)], dtype: 'uint8' }]
    : a.inputs;
  return [{ form: 'native', a: { ...a, file: native.a, inputs }, b: other(b, native.b), m: other(m, native.m) }, portable];
}

/**
 * The manifest's inconsistencies, in the order of the data flow.
 *
 * @param {Manifest} manifest
 * @returns {Generator<string>}
 */
function* problems(manifest) {
  const { a, b, m } = manifest.graphs;
  for (const [label, specs] of /** @type {[string, TensorSpec[]][]} */ ([
    ['a.inputs', a.inputs],
    ['a.outputs', a.outputs],
    ['b.inputs', b?.inputs ?? []],
    ['b.outputs', b?.outputs ?? []],
    ['m.inputs', m?.inputs ?? []],
    ['m.outputs', m?.outputs ?? []],
  ])) {
    const names = specs.map((spec) => spec.name);
    if (new Set(names).size !== names.length) yield `graphs.${label} names a tensor twice (${names.join(', ')})`;
  }
  yield* oneGraphProblems(manifest);
  yield* masksProblems(manifest);
  yield* pixelsProblems(manifest);
  const { constants = [] } = manifest.host_step;
  const elements = [a.inputs, a.outputs, b?.inputs ?? [], b?.outputs ?? [], m?.inputs ?? [], m?.outputs ?? [], constants]
    .flat()
    .reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  if (elements > MAX_ELEMENTS) yield `its tensors have ${elements} elements in all, more than ${MAX_ELEMENTS}`;
  const { golden, native } = manifest;
  const needed = [a.file];
  for (const graph of [b, m]) if (graph) needed.push(graph.file);
  for (const file of [native?.a, native?.b, native?.m]) if (file !== undefined) needed.push(file);
  if (constants.length) needed.push(HOST_PARAMS_NAME);
  if (golden) needed.push(golden.image, golden.tensors, golden.detections);
  for (const name of needed) if (!Object.hasOwn(manifest.files, name)) yield `${name} is used but not listed under files`;

  const pre = manifest.preprocess;
  if (/** @type {string} */ (pre.channels) === 'RGBA') {
    yield 'preprocess.channels is RGBA, but this page feeds pictures without opacity, RGB or L';
  }
  const channels = channelsOf(pre);
  for (const [label, { length }] of /** @type {[string, number[]][]} */ ([
    ['mean', pre.mean],
    ['std', pre.std],
  ])) {
    if (length !== channels) yield `preprocess.${label} has ${length} numbers for ${channels} channels`;
  }
  const padding = (pre.fit ?? 'stretch') === 'stretch' ? 0 : channels;
  if ((pre.fill ?? []).length !== padding) yield `preprocess.fill has ${(pre.fill ?? []).length} numbers, not ${padding}`;
  const image = [1, channels, pre.height, pre.width];
  if (a.inputs.length !== 1 || !sameShape(a.inputs[0].shape, image)) {
    yield `graph a must have one input of shape [${image.join(', ')}], as stated in preprocess`;
  }
  yield* flowProblems(manifest);
  yield* postprocessProblems(manifest);
  yield* keypointsProblems(manifest);
}

/** Inconsistencies of a bundle without graph B. @param {Manifest} manifest @returns {Generator<string>} */
function* oneGraphProblems({ schema_version: version, graphs: { b }, host_step: host, native }) {
  if (!b && version < ONE_GRAPH_VERSION) yield `graph b is missing, which a bundle of schema version ${version} has`;
  if (!b && [host.inputs, host.ops, host.outputs, host.constants ?? []].some((items) => items.length > 0)) {
    yield 'there is a host step after graph a and no graph b to read it';
  }
  if (native && (native.b === undefined) !== (b === undefined)) {
    yield `the native form has ${native.b === undefined ? 'one graph' : 'two graphs'} and the portable one not`;
  }
}

/** What is wrong with a native form that takes pixels. @param {Manifest} manifest @returns {Generator<string>} */
function* pixelsProblems({ schema_version: version, graphs: { a }, native, preprocess: pre }) {
  const { pixels } = native ?? {};
  if (pixels === undefined) return;
  if (version < PIXELS_VERSION) {
    yield `the native form takes pixels, which that of a bundle of schema version ${version} does not`;
  }
  if (!inWholePixels(pre)) yield 'the native form takes pixels, and preprocess gives none of whole numbers';
  if (native?.a === a.file) {
    yield 'the native form takes pixels, and its graph a is the portable one, which takes the image';
  }
  if ([...a.inputs, ...a.outputs].some(({ name }) => name === pixels)) {
    yield `native.pixels names another tensor of graph a: '${pixels}'`;
  }
}

/** What is wrong with the graph of the masks, or with its absence. @param {Manifest} manifest @returns {Generator<string>} */
function* masksProblems({ schema_version: version, graphs: { a, b, m }, postprocess: { masks }, native }) {
  if (native && (native.m === undefined) !== (m === undefined)) {
    yield 'only one of the native and the portable form has a graph of masks';
  }
  if (!m || !masks) {
    if (m || masks) yield `${m ? 'postprocess.masks are' : 'graph m is'} missing, which masks need`;
    return;
  }
  if (version < MASKS_VERSION) yield `there are masks, which a bundle of schema version ${version} has not`;
  if (version < MASKS_OF_BOXES_VERSION && (masks.within_box || (masks.activation ?? 'none') !== 'none')) {
    yield `postprocess.masks have what a bundle of schema version ${version} has not`;
  }
  const given = new Map((b ?? a).outputs.map((spec) => [spec.name, spec]));
  for (const spec of m.inputs.filter(({ name }) => name !== masks.kept)) {
    const source = given.get(spec.name);
    if (!source || source.dtype !== spec.dtype || !sameShape(source.shape, spec.shape)) {
      yield `graph m reads '${spec.name}' [${spec.shape.join(', ')}], which the graph before it does not give`;
    }
  }
  const kept = m.inputs.find(({ name }) => name === masks.kept);
  if (!kept || kept.dtype !== 'int32' || kept.shape.length !== 1) {
    yield `graph m needs an input '${masks.kept}' of indices, int32 [K]`;
    return;
  }
  const output = m.outputs.find(({ name }) => name === masks.output);
  const [room] = kept.shape;
  if (!output || output.dtype !== 'float32' || output.shape.length !== 4 || output.shape[0] !== 1 || output.shape[3] !== room) {
    yield `graph m needs an output '${masks.output}' of masks, float32 [1, h, w, ${room}]`;
  }
}

/** Inconsistencies from graph A through the host step to graph B. @param {Manifest} manifest @returns {Generator<string>} */
function* flowProblems({ graphs, host_step: host }) {
  const fromA = new Map(graphs.a.outputs.map((spec) => [spec.name, spec]));
  for (const { op } of host.ops) {
    if (!Object.hasOwn(HOST_OPS, op)) yield `the host step's op '${op}' is not one that this page knows: take a newer page`;
  }
  const known = new Set();
  for (const name of host.inputs) {
    if (!fromA.has(name)) yield `the host step reads '${name}', which is not an output of graph a`;
    known.add(name);
  }
  for (const name of [...(host.constants ?? []).map((spec) => spec.name), ...host.ops.map((op) => op.output)]) {
    if (known.has(name)) yield `the host step assigns '${name}' twice`;
    known.add(name);
  }
  for (const name of host.outputs) if (!known.has(name)) yield `the host step's output '${name}' is never computed`;
  for (const spec of (graphs.b?.inputs ?? []).filter((item) => !host.outputs.includes(item.name))) {
    const source = fromA.get(spec.name);
    if (!source) yield `graph b reads '${spec.name}', which is not an output of the host step or graph a`;
    else if (!sameShape(source.shape, spec.shape)) {
      yield `'${spec.name}' is [${source.shape.join(', ')}] in graph a but [${spec.shape.join(', ')}] in graph b`;
    }
  }
}

/** @param {Manifest} manifest @returns {Generator<string>} */
function* postprocessProblems({ graphs, postprocess: post, classes }) {
  const last = new Map((graphs.b ?? graphs.a).outputs.map((spec) => [spec.name, spec.shape]));
  const boxes = last.get(post.boxes);
  const logits = last.get(post.logits);
  if (!boxes || !logits) {
    yield `postprocess reads '${boxes ? post.logits : post.boxes}', which is not an output of graph ${graphs.b ? 'b' : 'a'}`;
  } else if (
    boxes.length !== 3 ||
    logits.length !== 3 ||
    boxes[0] !== 1 ||
    boxes[2] !== 4 ||
    !sameShape(boxes.slice(0, 2), logits.slice(0, 2))
  ) {
    yield `postprocess needs boxes [1, Q, 4] and logits [1, Q, C], not [${boxes.join(', ')}] and [${logits.join(', ')}]`;
  } else if (logits[2] !== classes.length) {
    yield `classes has ${classes.length} entries but there are ${logits[2]} logit columns`;
  }
  for (const index of post.ignored_classes ?? []) {
    if (index >= classes.length) yield `ignored class ${index} is not one of the ${classes.length} classes`;
  }
}

/** What is wrong with the keypoints. @param {Manifest} manifest @returns {Generator<string>} */
function* keypointsProblems({ schema_version: version, graphs, postprocess: post, classes }) {
  const { keypoints, masks } = post;
  if (!keypoints) return;
  if (version < KEYPOINTS_VERSION) yield `there are keypoints, which a bundle of schema version ${version} has not`;
  if (masks) yield 'there are masks and keypoints, of which a detector has only one';
  const given = new Map((graphs.b ?? graphs.a).outputs.map((spec) => [spec.name, spec]));
  const output = given.get(keypoints.output);
  const wanted = [1, given.get(post.logits)?.shape[1] ?? 0, totalOf(keypoints), CHANNELS];
  if (!output || output.dtype !== 'float32' || !sameShape(output.shape, wanted)) {
    yield `the last graph needs an output '${keypoints.output}' of keypoints, float32 [${wanted.join(', ')}]`;
  }
  const seen = new Set();
  for (const { class_index: index, names, skeleton, sigmas } of keypoints.classes) {
    const label = `the keypoints of class ${index}`;
    if (index >= classes.length) yield `${label} are not of one of the ${classes.length} classes`;
    if (seen.has(index)) yield `${label} are given twice`;
    seen.add(index);
    if (sigmas.length !== names.length) yield `${label} have ${names.length} names and ${sigmas.length} sigmas`;
    if (skeleton.flat().some((end) => end >= names.length)) yield `${label} have a skeleton that joins others than these`;
  }
}
