/** A headless Chromium driven over its DevTools protocol, through a pipe: no port, no dependency. */

import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** WebGPU on SwiftShader, Chromium's own software Vulkan driver, so that no GPU is needed. */
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--remote-debugging-pipe',
  '--no-first-run',
  '--disable-quic',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
  '--hide-scrollbars',
  'about:blank',
];

/**
 * @typedef {{id?: number, method?: string, params?: any, sessionId?: string, result?: any, error?: {message: string}}} Message
 */

export class Chromium {
  #next = 1;
  /** @type {Map<number, {resolve: (result: any) => void, reject: (error: Error) => void}>} */
  #waiting = new Map();
  /** @type {Map<string, (message: Message) => void>} */
  sessions = new Map();
  #said = '';
  alive = true;

  /** @param {string} program @param {string} profile */
  constructor(program, profile) {
    this.profile = profile;
    this.process = spawn(program, [`--user-data-dir=${profile}`, ...FLAGS], {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
    });
    this.process.stderr?.on('data', (chunk) => {
      this.#said = (this.#said + chunk).slice(-4000);
    });
    const end = (/** @type {string} */ why) => {
      this.alive = false;
      for (const { reject } of this.#waiting.values()) reject(new Error(`Chromium ${why}\n${this.#said}`));
      this.#waiting.clear();
    };
    this.ended = new Promise((resolve) => this.process.once('close', resolve));
    this.process.once('error', (error) => end(`did not start: ${error.message}`));
    this.process.once('exit', (code, signal) => end(`ended (${signal ?? code})`));
    let rest = Buffer.alloc(0);
    this.process.stdio[4]?.on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk]);
      for (let at = rest.indexOf(0); at >= 0; at = rest.indexOf(0)) {
        this.#receive(JSON.parse(rest.subarray(0, at).toString()));
        rest = rest.subarray(at + 1);
      }
    });
  }

  /** The end of Chromium's standard error. */
  said() {
    return this.#said;
  }

  /** @param {string} program */
  static async launch(program) {
    return new Chromium(program, await mkdtemp(path.join(tmpdir(), 'chromium-')));
  }

  /** @param {Message} message */
  #receive(message) {
    const waiting = this.#waiting.get(message.id ?? 0);
    if (waiting) {
      this.#waiting.delete(message.id ?? 0);
      if (message.error) waiting.reject(new Error(message.error.message));
      else waiting.resolve(message.result);
    } else if (message.sessionId) this.sessions.get(message.sessionId)?.(message);
  }

  /** @param {string} method @param {Record<string, unknown>} [params] @param {string} [sessionId] @returns {Promise<any>} */
  send(method, params = {}, sessionId) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      const pipe = /** @type {import('node:stream').Writable} */ (this.process.stdio[3]);
      pipe.write(`${JSON.stringify({ id, method, params, sessionId })}\0`, (error) => error && reject(error));
    });
  }

  /**
   * A new tab.
   *
   * @param {{width: number, height: number, dark?: boolean, before?: string}} options `before` runs ahead of the page's own scripts
   */
  async tab({ width, height, dark = false, before }) {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const tab = new Tab(this, targetId, sessionId);
    for (const domain of ['Page', 'Runtime', 'DOM', 'Log', 'Inspector']) await tab.send(`${domain}.enable`);
    await tab.send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false });
    await tab.send('Emulation.setEmulatedMedia', {
      features: [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }],
    });
    if (before) await tab.send('Page.addScriptToEvaluateOnNewDocument', { source: before });
    return tab;
  }

  async close() {
    await this.send('Browser.close').catch(() => this.process.kill());
    await this.ended;
    await rm(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

export class Tab {
  /** The page's console messages and failed requests. @type {string[]} */
  console = [];
  /** Uncaught exceptions. @type {string[]} */
  uncaught = [];
  crashed = false;

  /** @param {Chromium} browser @param {string} targetId @param {string} sessionId */
  constructor(browser, targetId, sessionId) {
    this.browser = browser;
    this.targetId = targetId;
    this.sessionId = sessionId;
    browser.sessions.set(sessionId, ({ method, params }) => {
      if (method === 'Runtime.consoleAPICalled')
        this.console.push(params.args.map((/** @type {any} */ arg) => arg.value ?? arg.description).join(' '));
      if (method === 'Log.entryAdded') this.console.push(params.entry.text);
      if (method === 'Inspector.targetCrashed') this.crashed = true;
      if (method === 'Runtime.exceptionThrown')
        this.uncaught.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    });
  }

  /** @param {string} method @param {Record<string, unknown>} [params] */
  send(method, params) {
    return this.browser.send(method, params, this.sessionId);
  }

  /** @param {string} url */
  goto(url) {
    return this.send('Page.navigate', { url });
  }

  /** The value of an expression in the page, awaited. @param {string} expression @returns {Promise<any>} */
  async evaluate(expression) {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Waits until an expression is true. @param {string} expression @param {number} [seconds] */
  async until(expression, seconds = 300) {
    const end = Date.now() + seconds * 1000;
    while (!(await this.evaluate(expression).catch(() => false))) {
      if (this.crashed || !this.browser.alive)
        throw new Error(`${this.crashed ? 'the tab' : 'Chromium'} crashed before: ${expression}\n${this.browser.said()}`);
      if (Date.now() > end)
        throw new Error(`${seconds} s passed and not: ${expression}\n${this.console.slice(-12).join('\n')}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  /** Chooses a file as a user does. @param {string} selector @param {string} file */
  async choose(selector, file) {
    const { root } = await this.send('DOM.getDocument');
    const { nodeId } = await this.send('DOM.querySelector', { nodeId: root.nodeId, selector });
    await this.send('DOM.setFileInputFiles', { nodeId, files: [file] });
  }

  /** The whole page as a PNG. @param {string} file */
  async screenshot(file) {
    const { data } = await this.send('Page.captureScreenshot', { captureBeyondViewport: true });
    await writeFile(file, Buffer.from(data, 'base64'));
  }

  async close() {
    await this.browser.send('Target.closeTarget', { targetId: this.targetId });
    this.browser.sessions.delete(this.sessionId);
  }
}
