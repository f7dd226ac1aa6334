/**
 * Opens a bundle; every file is used only after its path, length and sha256 were checked.
 *
 * @typedef {import('./manifest.js').Manifest} Manifest
 * @typedef {import('./tensor.js').Tensor} Tensor
 * @typedef {{label: string, read: (name: string, limit: number) => Promise<Uint8Array<ArrayBuffer>>}} Source
 *   The source of a bundle's files; `read` refuses a file that is missing or longer than `limit` bytes.
 */

import { REMAKE, UserError } from './errors.js';
import { MAX_SIZE } from './foreign_json.js';
import { HOST_PARAMS_NAME, MANIFEST_NAME, parseManifest } from './manifest.js';
import { readSafetensors } from './safetensors.js';
import { describe, fits } from './tensor.js';

const MANIFEST_LIMIT = MAX_SIZE;

/** A bundle with all files in memory and checked. */
export class Bundle {
  /** @param {string} label @param {Manifest} manifest @param {Map<string, Uint8Array<ArrayBuffer>>} files */
  constructor(label, manifest, files) {
    this.label = label;
    this.manifest = manifest;
    this.files = files;
  }

  /** The bytes of a file that the manifest lists. @param {string} name @returns {Uint8Array<ArrayBuffer>} */
  file(name) {
    const bytes = this.files.get(name);
    if (!bytes) throw new Error(`the manifest lists no ${name}`);
    return bytes;
  }

  /** The host step's constants by name. @returns {Map<string, Tensor>} */
  hostConstants() {
    const specs = this.manifest.host_step.constants ?? [];
    const tensors = specs.length ? readSafetensors(this.file(HOST_PARAMS_NAME), HOST_PARAMS_NAME) : new Map();
    for (const spec of specs) {
      const tensor = tensors.get(spec.name);
      if (!tensor) throw new UserError(`${HOST_PARAMS_NAME} lacks the constant '${spec.name}'; ${REMAKE}`);
      if (!fits(tensor, spec)) {
        throw new UserError(`the constant '${spec.name}' is ${describe(tensor)}, not ${describe(spec)}; ${REMAKE}`);
      }
    }
    return tensors;
  }

  /** Every stage's recorded tensors by name; none where the bundle has no golden vectors. @returns {Map<string, Tensor>} */
  goldenTensors() {
    const { golden } = this.manifest;
    return golden ? readSafetensors(this.file(golden.tensors), golden.tensors) : new Map();
  }
}

/**
 * @param {Source} source
 * @param {import('./json_schema.js').Schema} schema `manifest.schema.json`, parsed
 * @param {(text: string) => void} [report] receives a description of each step
 * @returns {Promise<Bundle>}
 * @throws {UserError} the manifest is missing or invalid, or a file is missing, cut short, too long or changed.
 */
export async function openBundle(source, schema, report = () => {}) {
  report(`reading ${MANIFEST_NAME}`);
  const manifest = parseManifest(utf8(await source.read(MANIFEST_NAME, MANIFEST_LIMIT), MANIFEST_NAME), schema);
  for (const name of Object.keys(manifest.files)) checkPath(name, source.label);
  const files = new Map();
  for (const [name, record] of Object.entries(manifest.files)) {
    report(`reading ${name}`);
    const bytes = await source.read(name, record.bytes);
    if (bytes.byteLength !== record.bytes) {
      throw new UserError(
        `${name} is cut short (${bytes.byteLength} bytes, not ${record.bytes}); copy the whole bundle again, or ${REMAKE}`,
      );
    }
    if ((await sha256(bytes)) !== record.sha256) {
      throw new UserError(`${name} is damaged or changed (its sha256 is not the manifest's); copy it again, or ${REMAKE}`);
    }
    files.set(name, bytes);
  }
  return new Bundle(source.label, manifest, files);
}

/**
 * A folder on a web server.
 *
 * @param {URL} base ends with a slash
 * @returns {Source}
 */
export function servedFolder(base) {
  const label = base.pathname;
  return {
    label,
    async read(name, limit) {
      const url = new URL(name.split('/').map(encodeURIComponent).join('/'), base);
      let response;
      try {
        response = await fetch(url, { cache: 'no-cache' });
      } catch (error) {
        throw new UserError(`${name} cannot be fetched from ${label}; check that the server still runs`, error);
      }
      if (!response.ok || !response.body) {
        throw new UserError(`${name} is missing from ${label} (${response.status}); check the address, or ${REMAKE}`);
      }
      return readAll(response.body, limit, name);
    },
  };
}

/**
 * Reads a whole stream; stops with an error as soon as it is longer than `limit`.
 *
 * @param {ReadableStream<Uint8Array>} stream
 * @param {number} limit
 * @param {string} name
 */
export async function readAll(stream, limit, name) {
  const chunks = [];
  let total = 0;
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    total += value.byteLength;
    if (total > limit) {
      await reader.cancel();
      throw new UserError(`${name} is too long (more than ${limit} bytes); copy the whole bundle again, or ${REMAKE}`);
    }
    chunks.push(value);
  }
  const whole = new Uint8Array(total);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}

/** Refuses a path that could lead outside the bundle on any system. @param {string} name @param {string} where */
export function checkPath(name, where) {
  const bad = (/** @type {string} */ part) => ['', '.', '..'].includes(part) || /[\\:\0]/.test(part);
  if (name.split('/').some(bad)) {
    throw new UserError(
      `${where} lists the path '${name}', which is not inside the bundle; don't trust this bundle: ${REMAKE}`,
    );
  }
}

/** @param {Uint8Array} bytes @param {string} where */
function utf8(bytes, where) {
  try {
    // A byte order mark is kept, and refused as what no JSON begins with.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new UserError(`${where} is not UTF-8 text; ${REMAKE}`, error);
  }
}

/** @param {Uint8Array<ArrayBuffer>} bytes @returns {Promise<string>} */
async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) {
    throw new UserError('this browser provides sha256 only for https and localhost; open the page at http://localhost');
  }
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
