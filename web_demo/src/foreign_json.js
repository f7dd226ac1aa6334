/**
 * Reads JSON that others wrote, by the rules of `host_runtime/foreign_json.py`. What it returns, later code may rely on: the text is
 * not longer than its limit, values are not nested deeper than `MAX_DEPTH`, no name occurs twice in an object, every number is
 * finite, and every text, names included, is printable and not longer than `MAX_TEXT`.
 */

export const MAX_SIZE = 4 * 2 ** 20;
export const MAX_TEXT = 4096;
export const MAX_DEPTH = 32;

/** Control characters, separators of lines, overrides of the writing direction, halves of surrogate pairs. */
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/u;
const SHOWN = 200;

/**
 * @param {string} text
 * @returns {unknown}
 * @throws {SyntaxError | RangeError} it is not JSON, or exceeds the limits; the message is one printable line without the file's name.
 */
export function parseForeign(text) {
  // In UTF-8, a character has at least as many bytes as in UTF-16 units.
  if (text.length > MAX_SIZE) throw new RangeError(`it is larger than ${MAX_SIZE} bytes`);
  checkNesting(text);
  const value = JSON.parse(text);
  checkNames(text);
  checkValue(value, '$');
  return value;
}

/** The brackets, commas and strings of a text, in time that is linear in its length even where it is no JSON. @param {string} text */
function* tokens(text) {
  for (let at = 0; at < text.length; at += 1) {
    const start = at;
    if (text[at] === '"') {
      for (at += 1; at < text.length && text[at] !== '"'; at += 1) if (text[at] === '\\') at += 1;
      yield text.slice(start, at + 1);
    } else if ('{}[],'.includes(text[at])) {
      yield text[at];
    }
  }
}

/** Refuses deep nesting, before anything that is recursive. @param {string} text */
function checkNesting(text) {
  let depth = 0;
  for (const token of tokens(text)) {
    if (token === '{' || token === '[') depth += 1;
    else if (token === '}' || token === ']') depth -= 1;
    if (depth > MAX_DEPTH) throw new RangeError(`it is nested deeper than ${MAX_DEPTH}`);
  }
}

/** Refuses a name that is given twice in an object, of which JSON.parse keeps the last. @param {string} text of valid JSON */
function checkNames(text) {
  /** The names of each open object; undefined for an array. @type {(Set<string> | undefined)[]} */
  const open = [];
  let nameNext = false;
  for (const token of tokens(text)) {
    if (token === '{' || token === '[') {
      open.push(token === '{' ? new Set() : undefined);
      nameNext = token === '{';
    } else if (token === '}' || token === ']') {
      open.pop();
      nameNext = false;
    } else if (token === ',') {
      nameNext = open.at(-1) !== undefined;
    } else if (nameNext) {
      const name = JSON.parse(token);
      const names = /** @type {Set<string>} */ (open.at(-1));
      if (names.has(name)) throw new SyntaxError(`the name ${shown(name)} is given twice`);
      names.add(name);
      nameNext = false;
    }
  }
}

/** @param {unknown} value at most `MAX_DEPTH` deep @param {string} place */
function checkValue(value, place) {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new RangeError(`${place} is not a finite number`);
  if (typeof value === 'string') checkText(value, place);
  if (typeof value !== 'object' || value === null) return;
  for (const [name, item] of Object.entries(value)) {
    const inner = (Array.isArray(value) ? `${place}[${name}]` : `${place}.${shown(name).slice(1, -1)}`).slice(0, SHOWN);
    checkText(name, inner);
    checkValue(item, inner);
  }
}

/** @param {string} text @param {string} place */
function checkText(text, place) {
  if (text.length > MAX_TEXT) throw new RangeError(`${place} is a text of ${text.length} characters, more than ${MAX_TEXT}`);
  const found = UNPRINTABLE.exec(text);
  if (found) {
    const code = found[0].codePointAt(0) ?? 0;
    throw new RangeError(`${place} has the unprintable character U+${code.toString(16).toUpperCase().padStart(4, '0')}`);
  }
}

/** A value for a message: in quotes, printable and short. @param {unknown} value */
export function shown(value) {
  const text = JSON.stringify(value) ?? 'nothing';
  return (text.length > 60 ? `${text.slice(0, 60)}…` : text).replace(
    new RegExp(UNPRINTABLE, 'gu'),
    (found) => `\\u${(found.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
}
