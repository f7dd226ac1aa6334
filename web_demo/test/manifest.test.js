import assert from 'node:assert/strict';
import test from 'node:test';
import { UserError } from '../src/errors.js';
import { schemaProblem } from '../src/json_schema.js';
import { parseManifest } from '../src/manifest.js';
import { SCHEMA, json } from './goldens.js';

for (const { name, text, verdict } of await json('manifests.json')) {
  test(`the manifest ${name} is ${verdict}`, () => {
    const parse = () => parseManifest(text, SCHEMA);
    if (verdict === 'read') assert.equal(parse().schema_version, 1);
    else assert.throws(parse, UserError);
  });
}

test('a newer schema version is reported as such', () => {
  assert.throws(() => parseManifest('{"schema_version": 7}', SCHEMA), /schema version 7 but this page reads up to 1/);
});

test('an unknown keyword of a schema is an error, not ignored', () => {
  assert.throws(() => schemaProblem([1, 1], { type: 'array', uniqueItems: true }), /uniqueItems/);
});
