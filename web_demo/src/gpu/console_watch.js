/**
 * Listens to the console. LiteRT.js says only there which operators the GPU refuses; its `isFullyAccelerated` is true even
 * where the CPU runs every one of them. The module's output functions are bound when it is loaded, so this must begin before.
 */

const METHODS = /** @type {const} */ (['debug', 'log', 'info', 'warn', 'error']);

export class ConsoleWatch {
  /** @type {string[]} */
  #lines = [];

  constructor() {
    for (const method of METHODS) {
      const original = console[method].bind(console);
      console[method] = (...parts) => {
        this.#lines.push(...parts.map(String).join(' ').split('\n'));
        original(...parts);
      };
    }
  }

  /** What was said since the last call. @returns {string[]} */
  take() {
    return this.#lines.splice(0);
  }
}
