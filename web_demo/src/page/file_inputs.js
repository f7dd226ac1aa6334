/**
 * Handles files chosen in a dialog or dropped on the page: a bundle (a folder or a .zip) or a picture.
 *
 * @typedef {{open: (find: () => Promise<import('../bundle.js').Source>) => void, show: (load: () => Promise<import('./picture.js').Shown>) => void}} Handlers
 */

import { UserError } from '../errors.js';
import { chosenFolder, droppedFolder } from '../folder.js';
import { zippedFolder } from '../zip.js';
import { byId } from './dom.js';
import { loadPicture } from './picture.js';

/** @param {Handlers} handlers */
export function listenForFiles(handlers) {
  for (const id of ['choose-picture', 'choose-zip']) {
    const input = byId(id, HTMLInputElement);
    input.addEventListener('change', () => {
      openFile(input.files?.[0], handlers);
      input.value = ''; // allows choosing the same file again
    });
  }
  const folder = byId('choose-folder', HTMLInputElement);
  folder.addEventListener('change', () => {
    const files = [...(folder.files ?? [])];
    folder.value = '';
    if (files.length) handlers.open(() => chosenFolder(files));
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
    if (entry?.isDirectory) handlers.open(() => droppedFolder(/** @type {FileSystemDirectoryEntry} */ (entry)));
    else openFile(event.dataTransfer?.files[0], handlers);
  });
}

/** Opens a .zip as a bundle, anything else as a picture. @param {File | undefined} file @param {Handlers} handlers */
function openFile(file, { open, show }) {
  if (!file) return;
  if (/\.zip$/i.test(file.name)) open(() => zippedFolder(file, file.name));
  else
    show(async () => {
      if (/\.(tflite|json|safetensors)$/i.test(file.name))
        throw new UserError(`${file.name} is one file of a bundle; give the whole folder, or its .zip`);
      return loadPicture(file, file.name);
    });
}
