/** Writes safetensors files, for tests that change one. @typedef {import('../src/tensor.js').Tensor} Tensor */

const NAMES = { float32: 'F32', int32: 'I32', uint8: 'U8' };

/** @param {ReadonlyMap<string, Tensor>} tensors @returns {Uint8Array<ArrayBuffer>} */
export function writeSafetensors(tensors) {
  /** @type {Record<string, unknown>} */
  const header = {};
  const parts = [];
  let at = 0;
  for (const [name, { dtype, shape, data }] of tensors) {
    header[name] = { dtype: NAMES[dtype], shape, data_offsets: [at, at + data.byteLength] };
    parts.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    at += data.byteLength;
  }
  return joined(JSON.stringify(header), parts);
}

/**
 * A file of a header and data, whether they fit or not.
 *
 * @param {string} header
 * @param {Uint8Array[]} parts
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function joined(header, parts) {
  const text = new TextEncoder().encode(header);
  const length = new Uint8Array(new BigUint64Array([BigInt(text.length)]).buffer);
  const all = [length, text, ...parts];
  const whole = new Uint8Array(all.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of all) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}
