/**
 * Top-k with a defined order of ties: descending by value, then ascending by index, NaN first; see
 * `host_runtime/selection.py` for the reason.
 *
 * @param {import('./tensor.js').Values} values
 * @param {number} k
 * @returns {Int32Array} k indices
 */
export function topkIndices(values, k) {
  if (!Number.isInteger(k) || k < 0 || k > values.length)
    throw new RangeError(`cannot select the ${k} largest of ${values.length} values`);
  if (k === 0) return new Int32Array(0);
  // A typed array's own sort is numeric and puts NaN last, so the k-th from the end is the k-th largest with NaN largest.
  const limit = values.slice().sort()[values.length - k];
  const chosen = [];
  const level = [];
  for (let index = 0; index < values.length; index += 1) {
    const order = compareDescending(values[index], limit);
    if (order < 0) chosen.push(index);
    else if (order === 0 && level.length < k) level.push(index);
  }
  // The first of the values equal to the k-th fill the remaining places.
  chosen.push(...level.slice(0, k - chosen.length));
  return Int32Array.from(chosen.sort((one, other) => compareDescending(values[one], values[other]) || one - other));
}

/** @param {number} one @param {number} other */
function compareDescending(one, other) {
  if (Number.isNaN(one)) return Number.isNaN(other) ? 0 : -1;
  if (Number.isNaN(other)) return 1;
  return one > other ? -1 : one < other ? 1 : 0;
}
