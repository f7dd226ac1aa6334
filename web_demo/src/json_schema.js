/**
 * Validates JSON against a JSON Schema, with the keywords that `host_runtime/manifest.schema.json` uses, so that all runtimes
 * share one schema. An unknown keyword is an error, never silently ignored.
 *
 * @typedef {Record<string, any>} Schema
 */

import { shown } from './foreign_json.js';

const ANNOTATIONS = new Set(['$schema', '$defs', 'title', 'description']);
/** Keywords about what a value contains, which are checked after those about the value itself. */
const INNER = new Set(['properties', 'items', 'additionalProperties', 'propertyNames']);

/** @type {Record<string, (value: any) => boolean>} */
const TYPES = {
  object: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  array: Array.isArray,
  string: (value) => typeof value === 'string',
  number: (value) => typeof value === 'number',
  integer: Number.isInteger,
  boolean: (value) => typeof value === 'boolean',
  null: (value) => value === null,
};

/** @type {Record<string, (value: any, limit: any, schema: Schema) => string | undefined>} */
const RULES = {
  type: (value, limit) =>
    [limit].flat().some((type) => TYPES[type](value)) ? undefined : `is not of type ${[limit].flat().join(' or ')}`,
  const: (value, limit) => (value === limit ? undefined : `is not ${JSON.stringify(limit)}`),
  enum: (value, limit) => (limit.includes(value) ? undefined : `is not one of ${JSON.stringify(limit)}`),
  minLength: (value, limit) => (typeof value !== 'string' || [...value].length >= limit ? undefined : 'is too short'),
  maxLength: (value, limit) =>
    typeof value !== 'string' || value.length <= limit || [...value].length <= limit ? undefined : 'is too long',
  pattern: (value, limit) =>
    typeof value !== 'string' || new RegExp(limit, 'u').test(value) ? undefined : `does not match ${limit}`,
  minimum: (value, limit) => (typeof value !== 'number' || value >= limit ? undefined : `is less than ${limit}`),
  maximum: (value, limit) => (typeof value !== 'number' || value <= limit ? undefined : `is more than ${limit}`),
  exclusiveMinimum: (value, limit) => (typeof value !== 'number' || value > limit ? undefined : `is not above ${limit}`),
  minItems: (value, limit) => (!Array.isArray(value) || value.length >= limit ? undefined : `has fewer than ${limit} items`),
  maxItems: (value, limit) => (!Array.isArray(value) || value.length <= limit ? undefined : `has more than ${limit} items`),
  maxProperties: (value, limit) =>
    !TYPES.object(value) || Object.keys(value).length <= limit ? undefined : `has more than ${limit} members`,
  required: (value, limit) => {
    const missing = TYPES.object(value) && limit.find((/** @type {string} */ name) => !Object.hasOwn(value, name));
    return missing ? `lacks '${missing}'` : undefined;
  },
};

/**
 * The first violation with its path, or undefined if there is none.
 *
 * @param {unknown} value parsed JSON
 * @param {Schema} schema
 * @param {Schema} [root] resolves `$ref`
 * @param {string} [path]
 * @returns {string | undefined}
 */
export function schemaProblem(value, schema, root = schema, path = '$') {
  if (schema.$ref) return schemaProblem(value, resolve(schema.$ref, root), root, path);
  for (const [keyword, limit] of Object.entries(schema)) {
    if (ANNOTATIONS.has(keyword) || INNER.has(keyword)) continue;
    if (keyword === 'anyOf') {
      const problems = limit.map((/** @type {Schema} */ option) => schemaProblem(value, option, root, path));
      if (problems.every(Boolean)) return problems[0];
      continue;
    }
    const rule = RULES[keyword];
    if (!rule) throw new Error(`the schema's keyword '${keyword}' is not supported`);
    const problem = rule(value, limit, schema);
    if (problem) return `${path}: ${shown(value)} ${problem}`;
  }
  if (TYPES.object(value)) return objectProblem(/** @type {Record<string, unknown>} */ (value), schema, root, path);
  if (Array.isArray(value) && schema.items) {
    for (const [index, item] of value.entries()) {
      const problem = schemaProblem(item, schema.items, root, `${path}[${index}]`);
      if (problem) return problem;
    }
  }
  return undefined;
}

/** @param {Record<string, unknown>} value @param {Schema} schema @param {Schema} root @param {string} path */
function objectProblem(value, schema, root, path) {
  for (const [name, item] of Object.entries(value)) {
    const misnamed = schema.propertyNames && schemaProblem(name, schema.propertyNames, root, path);
    if (misnamed) return misnamed;
    const known = schema.properties && Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined;
    const rule = known ?? schema.additionalProperties ?? true;
    if (rule === false) return `${path}: ${shown(name)} is not known`;
    const problem = rule === true ? undefined : schemaProblem(item, rule, root, `${path}.${name.slice(0, 60)}`);
    if (problem) return problem;
  }
  return undefined;
}

/** @param {string} reference @param {Schema} root @returns {Schema} */
function resolve(reference, root) {
  return reference
    .replace(/^#\//, '')
    .split('/')
    .reduce((place, name) => place[name], root);
}
