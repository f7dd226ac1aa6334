/** Invalid input or usage, in one line: what is wrong, where, and what to do next. Any other exception is a bug. */
export class UserError extends Error {
  /** @param {string} message @param {unknown} [cause] */
  constructor(message, cause) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'UserError';
  }
}

/** The suggested fix for an invalid bundle. */
export const REMAKE = 'make the bundle again with `convert run`';

/** @param {unknown} error @returns {string} */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}
