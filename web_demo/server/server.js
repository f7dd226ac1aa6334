/**
 * Serves the page, the files it shares with the Python runtime, and bundles, read-only and to this machine only:
 *
 *   /web_demo/…  /host_runtime/manifest.schema.json  /host_runtime/host_ops.json  /bundles/NAME/…
 */

import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
const SHARED = ['manifest.schema.json', 'host_ops.json'];
/** @type {Record<string, string>} */
const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
  '.png': 'image/png',
};

export class Server {
  /** Folders by their name in the URL. @type {Map<string, string>} */
  bundles = new Map();
  #server = createServer((request, response) => this.#answer(request, response));

  /**
   * @param {number} port 0 for any free port
   * @returns {Promise<string>} the address, without a trailing slash
   * @throws {Error} code EADDRINUSE: the port is in use.
   */
  async start(port) {
    await new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, '127.0.0.1', () => resolve(undefined));
    });
    const address = /** @type {import('node:net').AddressInfo} */ (this.#server.address());
    return `http://localhost:${address.port}`;
  }

  stop() {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  /**
   * The file of a URL path, or undefined if it is not served.
   *
   * @param {string} url without a query, still escaped
   * @returns {Promise<string | undefined>}
   */
  async fileOf(url) {
    try {
      const [top, ...rest] = path.posix.normalize(decodeURIComponent(url)).split('/').slice(1);
      const [root, inside] =
        top === 'bundles'
          ? [this.bundles.get(rest[0]), rest.slice(1)]
          : [['web_demo', 'host_runtime'].includes(top) ? path.join(REPOSITORY, top) : undefined, rest];
      if (!root || (top === 'host_runtime' && !SHARED.includes(inside.join('/')))) return undefined;
      const folder = await realpath(root);
      const file = await realpath(path.join(folder, ...inside.slice(0, -1), inside.at(-1) || 'index.html'));
      return file.startsWith(folder + path.sep) && (await stat(file)).isFile() ? file : undefined;
    } catch {
      return undefined;
    }
  }

  /** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
  async #answer(request, response) {
    const [pathname] = (request.url ?? '').split('?');
    if (pathname === '/') {
      response.writeHead(302, { Location: '/web_demo/' }).end();
      return;
    }
    const file = request.method === 'GET' ? await this.fileOf(pathname) : undefined;
    if (!file) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, {
      'Content-Type': TYPES[path.extname(file)] ?? 'application/octet-stream',
      'Content-Length': (await stat(file)).size,
      'Cache-Control': 'no-cache',
    });
    createReadStream(file)
      .on('error', () => response.destroy())
      .pipe(response);
  }
}
