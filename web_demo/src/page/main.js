/** The page: opens a bundle, compiles it for the GPU, judges it on its golden picture, and detects objects in any picture. */

import { openBundle, servedFolder } from '../bundle.js';
import { Detector } from '../detector.js';
import { UserError, messageOf } from '../errors.js';
import { compileFirst } from '../forms.js';
import { GpuRuntime } from '../gpu/runtime.js';
import { formsOf } from '../manifest.js';
import { byId, element } from './dom.js';
import { listenForFiles } from './file_inputs.js';
import { drawOverlay } from './overlay.js';
import { loadPicture } from './picture.js';
import { adapterName, checksView, factsView, foundView, timesView } from './views.js';

/**
 * @typedef {'idle' | 'working' | 'agrees' | 'differs' | 'refused' | 'no golden'} State
 * @typedef {import('./picture.js').Shown} Shown
 * @typedef {import('../detector.js').Run} Run
 * @typedef {import('./views.js').FormInUse} FormInUse
 */

const SCHEMA = new URL('../../../host_runtime/manifest.schema.json', import.meta.url);
const TIMED_RUNS = 10;
const TITLES = {
  idle: 'Open a bundle',
  working: 'Working',
  agrees: 'Agrees with PyTorch',
  differs: 'Differs from PyTorch',
  refused: 'Refused',
  'no golden': 'Not compared',
};

const ui = {
  title: byId('verdict-title', HTMLElement),
  text: byId('verdict-text', HTMLElement),
  note: byId('verdict-note', HTMLElement),
  canvas: byId('canvas', HTMLCanvasElement),
  name: byId('picture-name', HTMLElement),
  found: byId('found', HTMLElement),
  problem: byId('picture-problem', HTMLElement),
  threshold: byId('threshold', HTMLInputElement),
  thresholdValue: byId('threshold-value', HTMLElement),
  ownPicture: byId('own-picture', HTMLButtonElement),
  measure: byId('measure', HTMLButtonElement),
  precision: byId('precision', HTMLSelectElement),
  facts: byId('facts', HTMLElement),
  times: byId('times', HTMLElement),
  checks: byId('checks', HTMLElement),
};

/** The page's state. */
const page = {
  /** @type {Promise<GpuRuntime> | undefined} */ runtime: undefined,
  /** @type {import('../bundle.js').Bundle | undefined} */ bundle: undefined,
  /** @type {Detector | undefined} */ detector: undefined,
  /** @type {FormInUse | undefined} */ form: undefined,
  /** @type {Shown | undefined} */ golden: undefined,
  /** @type {Shown | undefined} */ shown: undefined,
  /** @type {Run | undefined} */ last: undefined,
};

/** The queue of work that uses the GPU. @type {Promise<unknown>} */
let queue = Promise.resolve();

/**
 * Runs work after all work queued before; shows errors on the page.
 *
 * @param {() => Promise<void>} work
 */
function enqueue(work) {
  queue = queue.then(async () => {
    document.body.setAttribute('aria-busy', 'true');
    for (const control of [ui.ownPicture, ui.measure]) control.disabled = true;
    try {
      await work();
    } catch (error) {
      if (!(error instanceof UserError)) console.error(error);
      showStatus('refused', messageOf(error));
    }
    for (const control of [ui.ownPicture, ui.measure]) control.disabled = !page.shown;
    document.body.removeAttribute('aria-busy');
  });
  return queue;
}

/** @param {State} state @param {string} text @param {string} [note] */
function showStatus(state, text, note = '') {
  ui.title.textContent = TITLES[state];
  ui.text.textContent = text;
  ui.note.textContent = note;
  ui.note.hidden = !note;
  document.body.dataset.state = state;
}

/** Lets the browser paint before a long computation. */
const painted = () => new Promise((resolve) => setTimeout(resolve, 0));

/** @param {() => Promise<import('../bundle.js').Source>} find */
async function open(find) {
  close();
  showStatus('working', 'Reading the bundle.');
  const schema = await (await fetch(SCHEMA)).json();
  const bundle = await openBundle(await find(), schema, (text) => showStatus('working', `Bundle: ${text}.`));
  page.bundle = bundle;
  ui.facts.replaceChildren(...factsView(bundle, undefined));
  await compile();
}

/** Shows how to start, or why this browser cannot run a bundle. */
async function invite() {
  showStatus('working', 'Starting LiteRT.js on WebGPU.');
  page.runtime ??= GpuRuntime.start();
  const { adapter } = await page.runtime;
  const how = 'Choose a folder that `convert run` wrote, or its .zip, or drop either on this page.';
  showStatus('idle', how, `It will run on ${adapterName(adapter)}.`);
}

/** Compiles the open bundle and judges it. */
async function compile() {
  const { bundle } = page;
  if (!bundle) return;
  dropDetector();
  showStatus('working', 'Starting LiteRT.js on WebGPU.');
  page.runtime ??= GpuRuntime.start();
  const runtime = await page.runtime;
  ui.facts.replaceChildren(...factsView(bundle, runtime.adapter));
  const precision = ui.precision.value === 'fp16' ? 'fp16' : 'fp32';
  const compiled = await compileFirst(formsOf(bundle.manifest, 'gpu'), async (spec) => {
    showStatus('working', `Compiling ${spec.file} for the GPU.`);
    await painted();
    return runtime.compile(bundle.file(spec.file), spec, precision);
  });
  const { form, refusal } = compiled;
  page.form = { form, refusal };
  ui.facts.replaceChildren(...factsView(bundle, runtime.adapter, page.form));
  page.detector = new Detector(bundle, compiled.a, compiled.b, compiled.m);
  publish({ form, refusal });
  await judge(precision, runtime);
}

/** Why the bundle's native form does not run here, as a sentence for the verdict's note; empty if it runs or there is none. */
function refusalNote() {
  const refusal = page.form?.refusal;
  return refusal ? `The native form of the graphs does not run here, so the portable one is used: ${refusal}.` : '';
}

/** @param {import('../gpu/graph.js').Precision} precision @param {GpuRuntime} runtime */
async function judge(precision, runtime) {
  const { detector, bundle } = page;
  const golden = bundle?.manifest.golden;
  if (!detector || !bundle || !golden) {
    showStatus(
      'no golden',
      'Every graph runs entirely on the GPU. The bundle has no golden vectors, so nothing was compared; choose a picture.',
      refusalNote(),
    );
    return;
  }
  showStatus('working', 'Running every stage on the golden vectors.');
  await painted();
  ui.threshold.value = String(golden.threshold);
  const shown = await loadPicture(new Blob([bundle.file(golden.image)]), golden.image);
  const { judgement, chain } = await detector.judged(shown.pixels, precision);
  Object.assign(page, { golden: shown, shown, last: chain });
  ui.checks.replaceChildren(...checksView(judgement));
  showRun([chain], runtime);
  const form = page.form?.form ?? 'portable';
  const { b, m } = bundle.manifest.graphs;
  const count = ['The only graph, in its', 'Both graphs, in their', 'All three graphs, in their'][Number(!!b) + Number(!!m)];
  const graphs = `${count} ${form} form,`;
  const where = `${graphs} ran entirely on ${adapterName(runtime.adapter)}, in ${precision}.`;
  const notes = [where];
  if (refusalNote()) notes.push(refusalNote());
  if (bundle.manifest.weights.random) notes.push('The weights are random: tensors can agree, but detections are meaningless.');
  if (precision === 'fp16' && !runtime.adapter.fp16)
    notes.push('This GPU has no fp16 arithmetic: values are stored as fp16 and computed in fp32.');
  showStatus(judgement.verdict, `${judgement.summary}.`, notes.join(' '));
  publish({ judgement, chain });
}

/** Runs the shown picture. @param {number} times */
async function runShown(times) {
  const { detector, shown } = page;
  ui.name.textContent = `${shown?.name ?? ''}, running`;
  if (!detector || !shown || !page.runtime) return;
  const runs = [];
  for (let number = 0; number < times; number += 1) {
    const run = await detector.run(shown.pixels);
    await detector.addMasks(run, detector.detections(run.outputs, shown.pixels, Number(ui.threshold.value)), shown.pixels);
    runs.push(run);
    await painted();
  }
  page.last = runs[runs.length - 1];
  showRun(runs, await page.runtime);
}

/** @param {Run[]} runs @param {GpuRuntime} runtime */
function showRun(runs, runtime) {
  ui.times.replaceChildren(
    ...timesView(
      runs.map((run) => run.times),
      runs[0].dispatches,
      runtime.adapter.software,
    ),
  );
  showFound();
}

/**
 * Draws and lists the last run's detections; also called when the slider moves, without a new run. Masks that it lacks then are
 * computed after other work, and drawn.
 */
function showFound() {
  const threshold = Number(ui.threshold.value);
  ui.thresholdValue.textContent = threshold.toFixed(2);
  const { detector, shown, last } = page;
  if (!detector || !shown || !last) return;
  const found = detector.detections(last.outputs, shown.pixels, threshold, last.masks);
  if (detector.graphM && found.some(({ mask }) => !mask)) enqueue(addMasks);
  drawOverlay(ui.canvas, shown.bitmap, found, detector.bundle.manifest.postprocess.keypoints);
  ui.canvas.setAttribute('aria-label', `${shown.name} with ${found.length} detections, listed below`);
  ui.name.textContent = `${shown.name}, ${shown.pixels.width} × ${shown.pixels.height}`;
  ui.found.replaceChildren(...foundView(found));
  publish({ found, threshold });
}

/** Computes the masks that the shown detections lack. */
async function addMasks() {
  const { detector, shown, last } = page;
  if (!detector || !shown || !last) return;
  const found = detector.detections(last.outputs, shown.pixels, Number(ui.threshold.value), last.masks);
  if (found.every(({ mask }) => mask)) return;
  await detector.addMasks(last, found, shown.pixels);
  showFound();
}

/** Shows another picture; the verdict on the golden picture remains. @param {() => Promise<Shown>} load */
async function showPicture(load) {
  ui.problem.hidden = true;
  try {
    if (!page.detector) throw new UserError('there is no bundle that could look at it; open one first');
    page.shown = await load();
    await runShown(1);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    ui.problem.textContent = error.message;
    ui.problem.hidden = false;
  }
}

/** Publishes results in `globalThis.report`, for tests. @param {Record<string, unknown>} part */
function publish(part) {
  Object.assign(globalThis, { report: { .../** @type {any} */ (globalThis).report, ...part } });
}

function dropDetector() {
  page.detector?.delete();
  Object.assign(page, { detector: undefined, form: undefined, last: undefined });
}

function close() {
  dropDetector();
  Object.assign(page, { bundle: undefined, golden: undefined, shown: undefined });
  ui.problem.hidden = true;
  Object.assign(globalThis, { report: undefined });
  for (const part of [ui.facts, ui.found]) part.replaceChildren();
  ui.times.replaceChildren(element('p', { class: 'quiet' }, 'Nothing has run yet.'));
  ui.checks.replaceChildren(element('p', { class: 'quiet' }, 'Nothing has been compared yet.'));
  Object.assign(ui.canvas, { width: 16, height: 9 });
  ui.canvas.removeAttribute('style');
  ui.canvas.setAttribute('aria-label', 'No picture yet');
  ui.name.textContent = 'none yet';
}

function listen() {
  ui.threshold.addEventListener('input', showFound);
  ui.precision.addEventListener('change', () => enqueue(compile));
  ui.measure.addEventListener('click', () => enqueue(() => runShown(TIMED_RUNS)));
  ui.ownPicture.addEventListener('click', () => {
    const { golden } = page;
    if (golden) enqueue(() => showPicture(async () => golden));
  });
  listenForFiles({
    open: (find) => enqueue(() => open(find)),
    show: (load) => enqueue(() => showPicture(load)),
  });
  if (ui.canvas.parentElement) new ResizeObserver(showFound).observe(ui.canvas.parentElement);
}

const asked = new URLSearchParams(location.search);
if (asked.get('precision') === 'fp16') ui.precision.value = 'fp16';
listen();
const served = asked.get('bundle');
if (served) {
  const folder = new URL(`${served.replace(/\/*$/, '')}/`, location.href);
  enqueue(() => open(async () => servedFolder(folder)));
} else enqueue(invite);
