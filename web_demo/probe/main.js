/**
 * Runs probes in LiteRT.js, in a headless Chromium on WebGPU in software: node main.js CHROMIUM FOLDER NAME...
 *
 * FOLDER holds NAME.tflite and its inputs, NAME.safetensors. Prints a JSON object, the result of each name (see
 * page.js). `tools/litert_js.py` writes the folder, and judges.
 */

import { Server } from '../server/server.js';
import { Chromium } from '../test/browser/chromium.js';

/** A probe takes a fraction of one; what ends the WebAssembly program never answers. */
const SECONDS = 15;
/** What LiteRT.js keeps of a deleted model adds up. */
const PROBES_A_BROWSER = 150;
const [program, folder, ...names] = process.argv.slice(2);

const server = new Server();
server.bundles.set('models', folder);
const address = await server.start(0);

/** @returns {Promise<import('../test/browser/chromium.js').Tab>} */
async function open() {
  const tab = await (await Chromium.launch(program)).tab({ width: 400, height: 300 });
  await tab.goto(`${address}/web_demo/probe/page.html`);
  await tab.until('document.body?.dataset.ready', SECONDS);
  return tab;
}

let tab = await open();
/** @type {Record<string, unknown>} */
const results = {};
for (const [number, name] of names.entries()) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no result after ${SECONDS} s`)), SECONDS * 1000);
  });
  let result;
  try {
    const found = tab.evaluate(`probe(${JSON.stringify(name)}).then(JSON.stringify)`);
    result = JSON.parse(await Promise.race([found, late]));
  } catch (error) {
    result = { outcome: 'died', reason: /** @type {Error} */ (error).message.split('\n')[0], outputs: {} };
  } finally {
    clearTimeout(timer);
  }
  results[name] = result;
  if (result.outcome === 'died' || tab.crashed || (number + 1) % PROBES_A_BROWSER === 0) {
    await tab.browser.close();
    tab = await open();
  }
}
await tab.browser.close();
server.stop();
process.stdout.write(JSON.stringify(results));
