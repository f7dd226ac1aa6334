/**
 * Serves the page to a browser on this machine: `node web_demo/serve.js [BUNDLE ...]`, or `make web BUNDLE=...`.
 *
 * Each BUNDLE is a folder that `convert run` wrote; the page can open others from disk. PORT sets the port; if the
 * default is in use, a free one is chosen. Ends with Ctrl-C.
 */

import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { UserError, messageOf } from './src/errors.js';
import { Server } from './server/server.js';

const PORT = 8000;

/** @param {string[]} folders */
async function main(folders) {
  if (!existsSync(fileURLToPath(new URL('node_modules/@litertjs/core', import.meta.url))))
    throw new UserError('web_demo/node_modules has no LiteRT.js; run `npm ci --omit=dev` in web_demo, or `make web`');
  const server = new Server();
  for (const folder of folders) {
    if (!existsSync(path.join(folder, 'manifest.json')))
      throw new UserError(`${folder} is not a bundle; give the folder that \`convert run\` wrote (\`make run\`: build/tiny)`);
    const name = path.basename(path.resolve(folder));
    if (server.bundles.has(name)) throw new UserError(`two bundles are named ${name}; rename one of their folders`);
    server.bundles.set(name, path.resolve(folder));
  }
  const address = await listening(server);
  const pages = [...server.bundles.keys()].map((name) => `?bundle=/bundles/${encodeURIComponent(name)}`);
  console.log('Open in Chrome, Edge, or another browser with WebGPU (Ctrl-C ends the server):');
  for (const page of pages.length ? pages : ['']) console.log(`  ${address}/web_demo/${page}`);
}

/** @param {Server} server */
async function listening(server) {
  const asked = process.env.PORT;
  const port = asked ? Number(asked) : PORT;
  if (!Number.isInteger(port) || port < 0 || port > 65535) throw new UserError(`PORT=${asked} is not a port; give 0 to 65535`);
  try {
    return await server.start(port);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EADDRINUSE') throw error;
    if (asked) throw new UserError(`port ${port} is in use; set PORT to a free one, or unset it`);
    return server.start(0);
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error instanceof UserError ? `error: ${messageOf(error)}` : error);
  process.exitCode = error instanceof UserError ? 2 : 1;
});
