/** The page's tables: facts, times, comparisons, detections. */

import { classColour } from '../colours.js';
import { FINDABLE } from '../keypoints.js';
import { element, table } from './dom.js';

/**
 * @typedef {import('../detector.js').Times} Times
 * @typedef {{form: import('../manifest.js').Form, refusal?: string}} FormInUse
 *   The form of the graphs that runs, and why the native one does not, if the bundle has it
 */

/** @type {Record<import('../manifest.js').Preprocess['resize'], string>} */
const RESIZES = {
  bilinear: 'bilinear',
  bilinear_antialias: 'bilinear, antialiased',
  bilinear_8bit: 'bilinear, antialiased in 8 bits',
};

/**
 * @param {import('../bundle.js').Bundle} bundle
 * @param {import('../gpu/runtime.js').Adapter | undefined} adapter
 * @param {FormInUse} [form] undefined before the graphs are compiled
 * @returns {Node[]}
 */
export function factsView({ label, manifest, files }, adapter, form) {
  const bytes = [...files.values()].reduce((sum, file) => sum + file.byteLength, 0);
  const { height, width, resize } = manifest.preprocess;
  /** @type {[string, string][]} */
  const facts = [
    ['From', label],
    [
      'Variant',
      `${manifest.variant} for ${manifest.target}, weights ${manifest.weights.random ? 'random' : manifest.weights.source}`,
    ],
    ['Input', `${width} × ${height}, ${RESIZES[resize]}`],
    ['Host step', `${manifest.host_step.ops.length} operations`],
    ['Files', `${files.size}, ${(bytes / 1e6).toFixed(1)} MB, all sha256 match the manifest`],
  ];
  if (adapter) facts.push(['GPU', `${adapterName(adapter)}; ${adapter.fp16 ? 'fp16 and fp32' : 'fp32 only'}`]);
  if (form) facts.push(['Graphs', formName(form, manifest.native)]);
  return facts.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)]);
}

/** @param {FormInUse} form @param {import('../manifest.js').NativeFiles} [native] */
function formName({ form, refusal }, native) {
  const input = native?.pixels === undefined ? '' : "; graph A takes the resized picture's 8-bit pixels";
  if (form === 'native') return `native form, with the GPU delegate's own operators${input}`;
  return refusal ? 'portable form, since the native one does not run here' : 'portable form';
}

/** @param {import('../gpu/runtime.js').Adapter} adapter */
export function adapterName(adapter) {
  const name =
    adapter.description || [adapter.vendor, adapter.architecture].filter(Boolean).join(' ') || 'not named by the browser';
  return adapter.software ? `${name} (software)` : name;
}

/**
 * @param {Times[]} runs one or more
 * @param {{a: number, b?: number, m?: number}} dispatches without `b` where there is one graph, `m` where masks were computed
 * @param {boolean} software
 * @returns {Node[]}
 */
export function timesView(runs, dispatches, software) {
  const graph = (/** @type {import('../gpu/graph.js').GraphTimes} */ times) => times.write + times.run + times.read;
  const of = (/** @type {(times: Times) => number} */ part) => median(runs.map(part));
  /** @type {[string, string, number, string][]} */
  const stages = [
    ['Pre-processing', 'other', of((times) => times.preprocess), 'JavaScript'],
    ['Graph A', 'a', of((times) => graph(times.a)), `GPU, ${dispatches.a} programs`],
  ];
  const second = (/** @type {Times} */ times) => (times.b ? graph(times.b) : 0);
  if (dispatches.b !== undefined) {
    stages.push(['Host step', 'host', of((times) => times.host), 'JavaScript']);
    stages.push(['Graph B', 'b', of(second), `GPU, ${dispatches.b} programs`]);
  }
  const third = (/** @type {Times} */ times) => (times.m ? graph(times.m) : 0);
  const decoding = (/** @type {Times} */ times) => times.masks ?? 0;
  if (dispatches.m !== undefined) {
    stages.push(['Graph M', 'm', of(third), `GPU, ${dispatches.m} programs`]);
    stages.push(['Masks', 'other', of(decoding), 'JavaScript']);
  }
  const total = of((times) => times.preprocess + graph(times.a) + times.host + second(times) + third(times) + decoding(times));
  const bar = element(
    'div',
    { class: 'bar', 'aria-hidden': 'true' },
    ...stages.map(([, fill, time]) => {
      const part = element('span', { class: `fill-${fill}` });
      part.style.flexGrow = String(time);
      return part;
    }),
  );
  const rows = [
    ...stages.map(([name, fill, time, where]) => [
      element('span', { class: `fill-${fill}` }, element('span', { class: 'swatch' }), name),
      milliseconds(time),
      where,
    ]),
    [element('strong', {}, 'Total'), element('strong', {}, milliseconds(total)), ''],
  ];
  const caption = runs.length === 1 ? 'One run, after a first one' : `Medians of ${runs.length} runs`;
  const shown = [
    bar,
    table(caption, ['Stage', { text: 'Time', number: true }, 'Runs in'], rows),
    element('p', { class: 'quiet' }, "A graph's time includes copying its tensors to the GPU and back."),
  ];
  if (software)
    shown.push(element('p', { class: 'quiet' }, 'This "GPU" is a program on the CPU: its times say nothing about a real one.'));
  return shown;
}

/** @param {number[]} values */
function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** @param {number} time */
function milliseconds(time) {
  return time < 10000 ? `${time.toFixed(time < 10 ? 2 : time < 100 ? 1 : 0)} ms` : `${(time / 1000).toFixed(1)} s`;
}

/** @param {import('../verdict.js').Judgement} judgement @returns {Node[]} */
export function checksView({ compared, rows }) {
  const verdict = (/** @type {boolean} */ good) =>
    element('span', { class: good ? 'good' : 'bad' }, good ? '✓ agrees' : '✗ differs');
  const stages = compared.map(({ stage, name, found, limit, good }) => [
    stage,
    name,
    verdict(good),
    found.correlation.toFixed(8),
    String(limit),
    found.relativeError.toExponential(1),
    found.maxAbsError.toExponential(1),
    found.referenceMax.toPrecision(3),
  ]);
  const heads = [
    'Stage',
    'Tensor',
    'Verdict', // first column, visible on a phone without scrolling
    ...['Correlation', 'At least', 'Relative error', 'Largest error', 'Largest value'].map((text) => ({
      text,
      number: /** @type {const} */ (true),
    })),
  ];
  const shown = [table('Each stage on golden inputs, against PyTorch', heads, stages)];
  if (rows.length) {
    const masks = rows.some(({ maskIou }) => maskIou !== undefined);
    const points = rows.some(({ keypointGap }) => keypointGap !== undefined);
    const figures = ['PyTorch', 'Here', 'IoU', ...(masks ? ['IoU of masks'] : []), ...(points ? ['Keypoints apart'] : [])];
    shown.push(
      table(
        "Detections of the whole chain, compared with PyTorch's",
        ['Class', 'Verdict', ...figures.map((text) => ({ text, number: /** @type {const} */ (true) }))],
        rows.map(({ status, reference, candidate, iou, maskIou, keypointGap }) => [
          (reference ?? candidate)?.name ?? '',
          element(
            'span',
            { class: status === 'matched' ? 'good' : status === 'borderline' ? 'quiet' : 'bad' },
            status === 'matched' ? '✓ matched' : status,
          ),
          reference?.score.toFixed(5) ?? '–',
          candidate?.score.toFixed(5) ?? '–',
          iou?.toFixed(6) ?? '–',
          ...(masks ? [maskIou?.toFixed(6) ?? '–'] : []),
          ...(points ? [keypointGap === undefined ? '–' : `${(100 * keypointGap).toFixed(4)} %`] : []),
        ]),
      ),
    );
  } else shown.push(element('p', { class: 'quiet' }, 'Neither PyTorch nor this page detects anything in this picture.'));
  return shown;
}

/** @param {readonly import('../decode.js').Detection[]} found @returns {Node[]} */
export function foundView(found) {
  const points = found.some(({ keypoints }) => keypoints);
  if (!found.length) return [element('p', { class: 'quiet' }, 'Nothing scores above the least score.')];
  return [
    table(
      `${found.length} found, with left, top, right and bottom in pixels`,
      [
        'Class',
        { text: 'Score', number: true },
        { text: 'Box', number: true },
        ...(points ? [{ text: 'Keypoints', number: /** @type {const} */ (true) }] : []),
      ],
      found.map((item) => {
        const swatch = element('span', { class: 'swatch' });
        swatch.style.background = `rgb(${classColour(item.classIndex).join(' ')})`;
        return [
          element('span', {}, swatch, item.name),
          item.score.toFixed(3),
          item.box.map((edge) => edge.toFixed(0)).join(', '),
          ...(points ? [keypointsText(item.keypoints)] : []),
        ];
      }),
    ),
  ];
}

/** How many keypoints are drawn. @param {import('../keypoints.js').Keypoint[] | undefined} keypoints */
function keypointsText(keypoints) {
  return keypoints ? `${keypoints.filter(({ score }) => score >= FINDABLE).length} of ${keypoints.length}` : '–';
}
