/** Whether the GPU took a graph whole, from what LiteRT.js said while it compiled: see `ConsoleWatch` for why from that. */

const REFUSALS = /Following operations? (?:is|are) not supported|will run on the CPU|not fully compiled|Falling back to WASM/i;
const TAKEN = /Initializing WebGPU-based API from graph/;
const NOISE = /^\s*$|^INFO: |^%c/;

/**
 * Why a graph does not run whole on the GPU, or undefined if it does.
 *
 * @param {readonly string[]} lines what was said while it compiled
 * @returns {string | undefined}
 */
export function residencyProblem(lines) {
  const first = lines.findIndex((line) => REFUSALS.test(line));
  if (first >= 0) {
    const told = lines
      .slice(first)
      .filter((line) => !NOISE.test(line) && !TAKEN.test(line))
      .map((line) => line.replace(/^(?:ERROR|WARNING): /, ''));
    return (told.join('; ') || lines[first]).replace(':;', ':').slice(0, 600);
  }
  const parts = lines.filter((line) => TAKEN.test(line)).length;
  if (parts === 0) return 'LiteRT.js did not say that it made a GPU program of it, so nothing shows that the GPU would run it';
  if (parts > 1) return `the GPU took it in ${parts} parts, with the CPU between them`;
  return undefined;
}
