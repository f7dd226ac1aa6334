/**
 * What the user gave the page, by a file dialog or by dropping it: a bundle (a folder or a .zip) or a picture.
 *
 * @typedef {{open: (find: () => Promise<import('../bundle.js').Source>) => void, show: (load: () => Promise<import('./picture.js').Shown>) => void}} Takers
 */

import { UserError } from '../errors.js';
import { chosenFolder, droppedFolder } from '../folder.js';
import { zippedFolder } from '../zip.js';
import { byId } from './dom.js';
import { loadPicture } from './picture.js';

/** @param {Takers} takers */
export function listenForFiles(takers) {
  for (const id of ['choose-picture', 'choose-zip']) {
    const input = byId(id, HTMLInputElement);
    input.addEventListener('change', () => {
      takeFile(input.files?.[0], takers);
      input.value = ''; // so that the same file can be chosen again
    });
  }
  const folder = byId('choose-folder', HTMLInputElement);
  folder.addEventListener('change', () => {
    const files = [...(folder.files ?? [])];
    folder.value = '';
    if (files.length) takers.open(() => chosenFolder(files));
  });

  addEventListener('dragover', (event) => {
    event.preventDefault();
    document.body.classList.add('dropping');
  });
  addEventListener('dragleave', (event) => event.relatedTarget ?? document.body.classList.remove('dropping'));
  addEventListener('drop', (event) => {
    event.preventDefault();
    document.body.classList.remove('dropping');
    const entry = event.dataTransfer?.items[0]?.webkitGetAsEntry?.();
    if (entry?.isDirectory) takers.open(() => droppedFolder(/** @type {FileSystemDirectoryEntry} */ (entry)));
    else takeFile(event.dataTransfer?.files[0], takers);
  });
}

/** A .zip is a bundle, anything else a picture. @param {File | undefined} file @param {Takers} takers */
function takeFile(file, { open, show }) {
  if (!file) return;
  if (/\.zip$/i.test(file.name)) open(() => zippedFolder(file, file.name));
  else
    show(async () => {
      if (/\.(tflite|json|safetensors)$/i.test(file.name))
        throw new UserError(`${file.name} is one file of a bundle; give the whole folder, or its .zip`);
      return loadPicture(file, file.name);
    });
}
