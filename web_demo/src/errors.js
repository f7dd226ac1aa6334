/** Bad input: one line that says what, where, and what to do next. Anything else that is thrown is a fault of this program. */
export class UserError extends Error {
  /** @param {string} message @param {unknown} [cause] */
  constructor(message, cause) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'UserError';
  }
}

/** What to do about a bundle that is not sound. */
export const REMAKE = 'make the bundle again with `convert run`';

/** @param {unknown} error @returns {string} */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}
