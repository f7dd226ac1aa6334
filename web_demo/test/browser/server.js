/**
 * Serves the repository and some bundles on a free port, as `python -m http.server` would, with files changed on the way if
 * wanted.
 */

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url));
/** @type {Record<string, string>} */
const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
  '.png': 'image/png',
};

export class Server {
  /** Folders served under /bundles/NAME/. @type {Map<string, string>} */
  bundles = new Map();
  /** Bytes served in place of a path's. @type {Map<string, Uint8Array>} */
  changed = new Map();
  /** Further headers of every answer. @type {Record<string, string>} */
  headers = {};
  #server = createServer((request, response) => this.#answer(request, response));

  /** @returns {Promise<string>} the address */
  async start() {
    await new Promise((resolve) => this.#server.listen(0, '127.0.0.1', () => resolve(undefined)));
    const address = /** @type {import('node:net').AddressInfo} */ (this.#server.address());
    return `http://127.0.0.1:${address.port}`;
  }

  stop() {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  /** The file behind a path. @param {string} url */
  fileOf(url) {
    const [, top, name, ...rest] = url.split('/');
    const folder = top === 'bundles' ? this.bundles.get(name) : undefined;
    return folder ? path.join(folder, ...rest) : path.join(REPOSITORY, url);
  }

  /** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
  async #answer(request, response) {
    const url = path.posix
      .normalize(decodeURIComponent(new URL(request.url ?? '/', 'http://x').pathname))
      .replace(/\/$/, '/index.html');
    try {
      const bytes = this.changed.get(url) ?? (await readFile(this.fileOf(url)));
      response.writeHead(200, { 'Content-Type': TYPES[path.extname(url)] ?? 'application/octet-stream', ...this.headers });
      response.end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  }
}
