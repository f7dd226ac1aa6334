/**
 * Reads a bundle's .zip, with its files at the top level or in one folder: stored or deflated, no zip64, no encryption.
 *
 * Layout: APPNOTE.TXT of PKWARE, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.16 (end record).
 */

import { checkPath, readAll } from './bundle.js';
import { REMAKE, UserError } from './errors.js';
import { MANIFEST_NAME } from './manifest.js';

/** @typedef {{name: string, method: number, packed: number, offset: number}} Member */

const END = 0x06054b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const STORED = 0;
const DEFLATED = 8;
const SYMLINK = 0o120000;

/**
 * @param {Blob} blob
 * @param {string} label the .zip's name
 * @returns {Promise<import('./bundle.js').Source>}
 * @throws {UserError} it is not a bundle's .zip.
 */
export async function zippedFolder(blob, label) {
  const members = await directory(blob, label);
  const tops = [...members.keys()].filter((name) => name.split('/').pop() === MANIFEST_NAME && name.split('/').length <= 2);
  if (tops.length !== 1) {
    throw new UserError(
      `${label} has ${tops.length} ${MANIFEST_NAME} at the top level, not 1; give the .zip that \`convert run --zip\` wrote`,
    );
  }
  const prefix = tops[0].slice(0, -MANIFEST_NAME.length);
  return {
    label,
    async read(name, limit) {
      const member = members.get(prefix + name);
      if (!member) throw new UserError(`${name} is missing from ${label}; copy the whole bundle again, or ${REMAKE}`);
      return content(blob, member, limit, label);
    },
  };
}

/** @param {Blob} blob @param {string} label @returns {Promise<Map<string, Member>>} */
async function directory(blob, label) {
  const damaged = (/** @type {string} */ why) => new UserError(`${label} is not a readable .zip (${why}); copy it again`);
  const tail = await viewOf(blob, Math.max(0, blob.size - 65557), blob.size);
  let end = tail.byteLength - 22;
  while (end >= 0 && tail.getUint32(end, true) !== END) end -= 1;
  if (end < 0) throw damaged('it has no directory');
  const [count, size, start] = [tail.getUint16(end + 10, true), tail.getUint32(end + 12, true), tail.getUint32(end + 16, true)];
  if (count === 0xffff || start === 0xffffffff || start + size > blob.size) throw damaged('zip64, or cut short');

  const view = await viewOf(blob, start, start + size);
  const members = new Map();
  let at = 0;
  for (let number = 0; number < count; number += 1) {
    if (at + 46 > size || view.getUint32(at, true) !== CENTRAL) throw damaged('its directory is damaged');
    const [nameLength, extra, comment] = [28, 30, 32].map((field) => view.getUint16(at + field, true));
    if (at + 46 + nameLength > size) throw damaged('its directory is damaged');
    const name = new TextDecoder().decode(new Uint8Array(view.buffer, at + 46, nameLength));
    if (!name.endsWith('/')) {
      checkPath(name, label);
      if (((view.getUint32(at + 38, true) >>> 16) & 0o170000) === SYMLINK) {
        throw new UserError(`${label} contains the link '${name}', which a bundle must not; ${REMAKE}`);
      }
      if (view.getUint16(at + 8, true) & 1) throw damaged(`${name} is encrypted`);
      if (members.has(name)) throw damaged(`${name} occurs twice`);
      members.set(name, {
        name,
        method: view.getUint16(at + 10, true),
        packed: view.getUint32(at + 20, true),
        offset: view.getUint32(at + 42, true),
      });
    }
    at += 46 + nameLength + extra + comment;
  }
  return members;
}

/**
 * Reads a member's bytes. The sizes stated in the .zip are not trusted: `limit` stops a zip bomb.
 *
 * @param {Blob} blob
 * @param {Member} member
 * @param {number} limit
 * @param {string} label
 */
async function content(blob, member, limit, label) {
  const damaged = (/** @type {string} */ why) =>
    new UserError(`${member.name} in ${label} cannot be unpacked (${why}); copy it again`);
  const header = await viewOf(blob, member.offset, member.offset + 30);
  if (header.byteLength < 30 || header.getUint32(0, true) !== LOCAL) throw damaged('it is not where the directory says');
  const start = member.offset + 30 + header.getUint16(26, true) + header.getUint16(28, true);
  const packed = blob.slice(start, start + member.packed);
  if (packed.size !== member.packed) throw damaged('it is cut short');
  if (member.method !== STORED && member.method !== DEFLATED) throw damaged(`compression method ${member.method}`);
  const stream =
    member.method === STORED ? packed.stream() : packed.stream().pipeThrough(new DecompressionStream('deflate-raw'));
  try {
    return await readAll(stream, limit, member.name);
  } catch (error) {
    throw error instanceof UserError ? error : damaged('its data are damaged');
  }
}

/** @param {Blob} blob @param {number} start @param {number} end */
async function viewOf(blob, start, end) {
  return new DataView(await blob.slice(start, end).arrayBuffer());
}
