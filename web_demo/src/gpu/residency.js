/** Determines from LiteRT.js's console messages whether the GPU accepted a whole graph; see `ConsoleWatch` for the reason. */

const REFUSALS = /Following operations? (?:is|are) not supported|will run on the CPU|not fully compiled|Falling back to WASM/i;
const TAKEN = /Initializing WebGPU-based API from graph/;
const NOISE = /^\s*$|^INFO: |^%c/;

/**
 * What the GPU refuses of a graph, or undefined if nothing was said of that.
 *
 * @param {readonly string[]} lines the console messages of its compilation
 * @returns {string | undefined}
 */
export function refusalOf(lines) {
  const first = lines.findIndex((line) => REFUSALS.test(line));
  if (first < 0) return undefined;
  const refused = lines
    .slice(first)
    .filter((line) => !NOISE.test(line) && !TAKEN.test(line))
    .map((line) => line.replace(/^(?:ERROR|WARNING): /, ''));
  return (refused.join('; ') || lines[first]).replace(':;', ':').slice(0, 600);
}

/**
 * Why a graph does not run entirely on the GPU, or undefined if it does.
 *
 * @param {readonly string[]} lines the console messages of its compilation
 * @returns {string | undefined}
 */
export function residencyProblem(lines) {
  const refused = refusalOf(lines);
  if (refused) return refused;
  const parts = lines.filter((line) => TAKEN.test(line)).length;
  if (parts === 0) return 'LiteRT.js did not say that it made a GPU program of it, so nothing shows that the GPU would run it';
  if (parts > 1) return `the GPU accepted it in ${parts} parts, with the CPU between them`;
  return undefined;
}
