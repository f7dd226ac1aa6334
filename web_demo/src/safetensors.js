/** Reads safetensors files: 8 bytes with the header's length, a JSON header, then the tensors without gaps. */

import { REMAKE, UserError } from './errors.js';
import { MAX_SIZE, parseForeign, shown } from './foreign_json.js';
import { ARRAYS, sizeOf } from './tensor.js';

/** @typedef {import('./tensor.js').Tensor} Tensor */
/** @typedef {import('./tensor.js').DType} DType */

const HEADER_LIMIT = MAX_SIZE;
/** @type {Record<string, DType>} */
const TYPES = { F32: 'float32', I32: 'int32', U8: 'uint8' };

/**
 * The tensors of a file by name.
 *
 * @param {Uint8Array} bytes
 * @param {string} where the file's name, for messages
 * @returns {Map<string, Tensor>}
 * @throws {UserError} the file is cut short, is not safetensors, or its tensors overlap, leave gaps or have an unknown type.
 */
export function readSafetensors(bytes, where) {
  /** @param {string} why */
  const refuse = (why) => new UserError(`${where} is not a safetensors file (${why}); ${REMAKE}`);
  if (bytes.byteLength < 8) throw refuse('it is shorter than its header');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  if (length > HEADER_LIMIT || 8 + length > bytes.byteLength) throw refuse('its header is cut short');
  const header = parseHeader(bytes.subarray(8, 8 + length), refuse);
  const data = bytes.subarray(8 + length);

  const entries = Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, value]) => entry(name, value, refuse));
  entries.sort((one, other) => one.start - other.start || one.end - other.end);
  let reached = 0;
  for (const item of entries) {
    if (item.start !== reached) throw refuse(`'${item.name}' does not begin where the tensor before it ends`);
    reached = item.end;
  }
  if (reached !== data.byteLength) throw refuse(`its tensors occupy ${reached} bytes of ${data.byteLength}`);
  return new Map(entries.map((item) => [item.name, decode(item, data)]));
}

/**
 * @typedef {{name: string, dtype: DType, shape: number[], start: number, end: number}} Entry
 * @typedef {(why: string) => UserError} Refuse
 */

/** @param {Uint8Array} bytes @param {Refuse} refuse @returns {Record<string, unknown>} */
function parseHeader(bytes, refuse) {
  let header;
  try {
    header = parseForeign(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    throw refuse('its header is not JSON');
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) throw refuse('its header is not an object');
  return /** @type {Record<string, unknown>} */ (header);
}

/** @param {string} name @param {unknown} value @param {Refuse} refuse @returns {Entry} */
function entry(name, value, refuse) {
  const { dtype, shape, data_offsets: offsets } = /** @type {Record<string, any>} */ (value ?? {});
  const type = Object.hasOwn(TYPES, dtype) ? TYPES[dtype] : undefined;
  if (!type) throw refuse(`${shown(name)} has the unsupported type ${shown(dtype)}`);
  if (!isExtents(shape) || !isExtents(offsets) || offsets.length !== 2) throw refuse(`'${name}' has no shape or no offsets`);
  const [start, end] = offsets;
  if (end - start !== sizeOf(shape) * ARRAYS[type].BYTES_PER_ELEMENT)
    throw refuse(`'${name}' has ${end - start} bytes for shape [${shape.join(', ')}]`);
  return { name, dtype: type, shape, start, end };
}

/** @param {unknown} value @returns {value is number[]} */
function isExtents(value) {
  return Array.isArray(value) && value.every((extent) => Number.isSafeInteger(extent) && extent >= 0);
}

/** @param {Entry} item @param {Uint8Array} data @returns {Tensor} */
function decode(item, data) {
  // A copy: typed arrays must begin at a multiple of their element, and every machine with WebGPU is little-endian.
  const copy = new Uint8Array(item.end - item.start);
  copy.set(data.subarray(item.start, item.end));
  const { dtype, shape } = item;
  return { dtype, shape, data: new ARRAYS[dtype](copy.buffer) };
}
