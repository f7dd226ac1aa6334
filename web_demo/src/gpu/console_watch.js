/**
 * Records console messages. LiteRT.js reports operators that the GPU refuses only there; its `isFullyAccelerated` is true even
 * if the CPU runs all of them. The module binds its output functions when loaded, so recording must start before that.
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

  /** Takes the messages since the last call. @returns {string[]} */
  take() {
    return this.#lines.splice(0);
  }
}
