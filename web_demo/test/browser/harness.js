/**
 * A browser with the page, for its tests. Variables: CHROMIUM, the program; GOLDENS, the output of tests/android/make_goldens.py;
 * FILES, the output of tests/web/make_files.py; BUNDLES, folders separated by ':'; SHOTS, the folder for screenshots.
 */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before } from 'node:test';
import { Server } from '../../server/server.js';
import { readSafetensors } from '../../src/safetensors.js';
import { get } from '../goldens.js';
import { writeSafetensors } from '../write_safetensors.js';
import { Chromium } from './chromium.js';

/** @param {string} name */
export function variable(name) {
  const value = process.env[name];
  assert(value, `set ${name}; web_demo/check.sh does`);
  return value;
}

export const GOLDENS = variable('GOLDENS');
export const FILES = variable('FILES');
export const SHOTS = variable('SHOTS');
export const HAND_MADE = path.join(GOLDENS, 'bundles/hand_made');
export const WIDE = { width: 1180, height: 900 };
/** A software GPU on a busy machine is slow. */
export const SECONDS = Number(process.env.SECONDS_A_BUNDLE ?? 300);

export const server = new Server();
export let address = '';
/** @type {Chromium} */
export let browser;
/** A tab that opens one bundle after another, as a user does: LiteRT.js starts in it once. @type {import('./chromium.js').Tab} */
export let shared;
export let scratch = '';

/** Serves the page and starts the browser before a file's tests, and ends both after them. */
export function startPage() {
  before(async () => {
    await mkdir(SHOTS, { recursive: true });
    server.bundles.set('hand_made', HAND_MADE);
    for (const name of ['partly', 'wholly']) server.bundles.set(name, path.join(FILES, name));
    address = await server.start(0);
    scratch = await mkdtemp(path.join(tmpdir(), 'web-demo-'));
    browser = await Chromium.launch(variable('CHROMIUM'));
    shared = await browser.tab(WIDE);
    await shared.goto(`${address}/web_demo/`);
    await settled(shared);
  });

  after(async () => {
    await browser?.close();
    server.stop();
    await rm(scratch, { recursive: true, force: true });
  });
}

/**
 * Opens the page with a bundle, waits for its verdict, and gives the tab to `use`.
 *
 * @param {string} query
 * @param {(tab: import('./chromium.js').Tab, seen: {state: string, text: string, report: any}) => Promise<void>} use
 * @param {{width?: number, height?: number, dark?: boolean, before?: string}} [options]
 */
export async function visit(query, use, options = {}) {
  const tab = await browser.tab({ ...WIDE, ...options });
  try {
    await tab.goto(`${address}/web_demo/?${query}`);
    await use(tab, await settled(tab));
    assert.deepEqual(tab.uncaught, []);
  } finally {
    await tab.close();
  }
}

/** @param {import('./chromium.js').Tab} tab */
export async function settled(tab) {
  await tab.until('document.body.dataset.state !== "working" && !document.body.hasAttribute("aria-busy")', SECONDS);
  return JSON.parse(
    await tab.evaluate(
      `JSON.stringify({
      state: document.body.dataset.state,
      text: document.querySelector("#verdict-text").textContent,
      report: globalThis.report ?? null,
    })`,
    ),
  );
}

/**
 * Chooses a bundle in the shared tab, and waits for the verdict.
 *
 * @param {string} bundle a folder or a .zip
 */
export async function chosen(bundle) {
  // So that the verdict waited for is not the last bundle's.
  await shared.evaluate('document.body.dataset.state = "working"');
  await shared.choose(bundle.endsWith('.zip') ? '#choose-zip' : '#choose-folder', bundle);
  const seen = await settled(shared);
  assert.deepEqual(shared.uncaught, []);
  return seen;
}

/**
 * A copy of a bundle with one file changed, and its hash in the manifest updated unless `staleHash`.
 *
 * @param {string} name
 * @param {(bytes: Buffer) => Uint8Array} change
 * @param {{staleHash?: boolean, base?: string}} [options]
 */
export async function planted(name, change, { staleHash = false, base = HAND_MADE } = {}) {
  const folder = path.join(await mkdtemp(path.join(scratch, 'planted-')), 'bundle');
  await cp(base, folder, { recursive: true });
  const bytes = change(await readFile(path.join(base, name)));
  await writeFile(path.join(folder, name), bytes);
  if (staleHash) return folder;
  const manifest = JSON.parse(await readFile(path.join(base, 'manifest.json'), 'utf-8'));
  manifest.files[name] = { sha256: createHash('sha256').update(bytes).digest('hex'), bytes: bytes.byteLength };
  await writeFile(path.join(folder, 'manifest.json'), JSON.stringify(manifest));
  return folder;
}

/** Adds to the last value of one tensor. @param {string} name @param {number} amount */
export const nudged = (name, amount) => (/** @type {Buffer} */ bytes) => {
  const tensors = readSafetensors(bytes, 'golden');
  const { data } = get(tensors, name);
  data[data.length - 1] += amount;
  return writeSafetensors(tensors);
};

/** Replaces a constant by another checkpoint's. @param {string} name */
export const scaled = (name) => (/** @type {Buffer} */ bytes) => {
  const tensors = readSafetensors(bytes, 'constants');
  const { data } = get(tensors, name);
  data.forEach((value, index) => (data[index] = value * 1.2));
  return writeSafetensors(tensors);
};
/** The note below the verdict, and the page's line about the graphs. */
export async function formShown() {
  const note = await shared.evaluate('document.querySelector("#verdict-note").textContent');
  const facts = await shared.evaluate('document.querySelector("#facts").innerText');
  return { note, facts };
}
