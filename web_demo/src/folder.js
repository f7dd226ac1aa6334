/**
 * A bundle in a folder that the user chose or dropped. Only the files that the manifest lists are read.
 *
 * @typedef {import('./bundle.js').Source} Source
 */

import { readAll } from './bundle.js';
import { REMAKE, UserError } from './errors.js';
import { MANIFEST_NAME } from './manifest.js';

/**
 * @param {(name: string) => Promise<Blob | undefined>} find a file by its path in the folder
 * @param {string} label the folder's name
 * @returns {Promise<Source>}
 * @throws {UserError} it has no manifest at the top level.
 */
export async function folderSource(find, label) {
  if (!(await find(MANIFEST_NAME)))
    throw new UserError(
      `${label} has no ${MANIFEST_NAME} at the top level; give the folder that \`convert run\` wrote, or its .zip`,
    );
  return {
    label,
    async read(name, limit) {
      const file = await find(name);
      if (!file) throw new UserError(`${name} is missing from ${label}; copy the whole bundle again, or ${REMAKE}`);
      return readAll(file.stream(), limit, name);
    },
  };
}

/**
 * A source of an `<input webkitdirectory>`'s files; their paths start with the folder's name.
 *
 * @param {Iterable<File>} files
 * @returns {Promise<Source>}
 * @throws {UserError} as `folderSource`.
 */
export function chosenFolder(files) {
  const byPath = new Map([...files].map((file) => [file.webkitRelativePath, file]));
  const label = [...byPath.keys()][0]?.split('/')[0] ?? 'the folder';
  return folderSource(async (name) => byPath.get(`${label}/${name}`), label);
}

/**
 * A source of a dropped folder's files.
 *
 * @param {FileSystemDirectoryEntry} folder
 * @returns {Promise<Source>}
 * @throws {UserError} as `folderSource`.
 */
export function droppedFolder(folder) {
  const find = (/** @type {string} */ name) =>
    new Promise((/** @type {(found: Blob | undefined) => void} */ resolve) => {
      const none = () => resolve(undefined);
      folder.getFile(name, {}, (entry) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, none), none);
    });
  return folderSource(find, folder.name);
}
