import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Server } from '../server/server.js';
import { ROOT } from './goldens.js';

const SERVE = fileURLToPath(new URL('../serve.js', import.meta.url));
const server = new Server();
let address = '';
let folder = '';

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'served-'));
  await writeFile(path.join(folder, 'manifest.json'), '{}');
  await symlink('/etc/hostname', path.join(folder, 'link'));
  server.bundles.set('a b', folder);
  address = await server.start(0);
});

after(async () => {
  server.stop();
  await rm(folder, { recursive: true });
});

/** The status of a path, sent unchanged: fetch would normalise it. @param {string} target @param {string} [method] */
const status = (target, method = 'GET') =>
  new Promise((resolve, reject) => {
    const { port } = new URL(address);
    request({ host: '127.0.0.1', port, path: target, method }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on('error', reject)
      .end();
  });

test('the page, the schema and the bundles are served, and nothing else', async () => {
  for (const target of [
    '/web_demo/',
    '/web_demo/src/page/main.js',
    '/host_runtime/manifest.schema.json',
    '/host_runtime/host_ops.json',
    '/bundles/a%20b/manifest.json',
  ])
    assert.equal(await status(target), 200, target);
  assert.equal(await status('/'), 302);
  const others = [
    '/README.md',
    '/host_runtime/runner.py',
    '/bundles/other/manifest.json',
    '/bundles/a%20b/link',
    '/bundles/a%20b/../../README.md',
    '/web_demo/..%2fREADME.md',
    '/web_demo/src',
    '/%',
    '//x:y',
  ];
  for (const target of others) assert.equal(await status(target), 404, target);
  assert.equal(await status('/web_demo/', 'POST'), 404);
});

test('serve.js refuses what it cannot serve, in one line', async () => {
  const run = (/** @type {string[]} */ bundles, env = {}) =>
    promisify(execFile)(process.execPath, [SERVE, ...bundles], { env: { ...process.env, ...env } });
  const sound = path.join(ROOT, 'bundles/hand_made');
  /** @type {[string[], Record<string, string>, RegExp][]} */
  const faults = [
    [[tmpdir()], {}, /^error: .* is not a bundle; give the folder/],
    [[sound, sound], {}, /^error: two bundles are named hand_made/],
    [[sound], { PORT: 'x' }, /^error: PORT=x is not a port/],
    [[sound], { PORT: new URL(address).port }, /^error: port \d+ is in use/],
  ];
  for (const [bundles, env, message] of faults)
    await assert.rejects(run(bundles, env), (/** @type {any} */ error) => error.code === 2 && message.test(error.stderr));
});
