/** Creates elements without parsing markup, so that a bundle's names are always text. */

/**
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/**
 * The element with an id, which must exist.
 *
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new (...args: any[]) => T} type
 * @returns {T}
 */
export function byId(id, type) {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} '${id}'`);
  return found;
}

/**
 * @param {string} caption
 * @param {(string | {text: string, number: true})[]} heads columns of numbers are right-aligned
 * @param {(Node | string)[][]} rows
 */
export function table(caption, heads, rows) {
  const numeric = heads.map((head) => typeof head !== 'string');
  const cell = (/** @type {string} */ tag, /** @type {Node | string} */ content, /** @type {number} */ column) =>
    element(tag, { ...(tag === 'th' ? { scope: 'col' } : {}), ...(numeric[column] ? { class: 'number' } : {}) }, content);
  return element(
    'div',
    // Wider than a phone: scrollable, also by keyboard.
    { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': caption },
    element(
      'table',
      {},
      element('caption', {}, caption),
      element(
        'thead',
        {},
        element('tr', {}, ...heads.map((head, column) => cell('th', typeof head === 'string' ? head : head.text, column))),
      ),
      element(
        'tbody',
        {},
        ...rows.map((row) => element('tr', {}, ...row.map((content, column) => cell('td', content, column)))),
      ),
    ),
  );
}
