// The fixture that Python's tests use too: node --test tests/web
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { InputError, latent, series, slerp, truncate } from "../../runtime/web/src/index.js";

const fixture = JSON.parse(readFileSync(new URL("../runtime/latents_fixture.json", import.meta.url), "utf8"));

/** @param {Float32Array} z */
const hash = (z) => createHash("sha256").update(new Uint8Array(z.buffer, z.byteOffset, z.byteLength)).digest("hex");
/** @param {Float32Array} z @param {number} count */
const bits = (z, count) => Array.from(z.slice(0, count), (value) => {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, value);
  return view.getUint32(0).toString(16).padStart(8, "0");
});

test("names give the latents that Python gives, bit for bit", () => {
  for (const { name, times = 1, first, sha256 } of fixture.latents) {
    const z = latent(name.repeat(times), fixture.latent_dim);
    assert.deepEqual(bits(z, first.length), first, JSON.stringify(name));
    assert.equal(hash(z), sha256, JSON.stringify(name));
  }
});

test("and so do a thousand more", () => {
  assert.ok(fixture.latents.length + fixture.more.length >= 1000);
  for (const [name, digest] of fixture.more) assert.ok(hash(latent(name, fixture.latent_dim)).startsWith(digest), JSON.stringify(name));
});

test("the way between two names is Python's, bit for bit", () => {
  for (const { a, b, latent_dim: dim, positions, first, sha256 } of fixture.slerp) {
    const rows = positions.map((/** @type {number} */ t) => slerp(latent(a, dim), latent(b, dim), t));
    const all = new Float32Array(rows.flatMap((/** @type {Float32Array} */ row) => [...row]));
    assert.equal(hash(all), sha256, `${a} to ${b}`);
    assert.ok(first.length > 0);
  }
});

test("a lone surrogate has a face, that of the replacement character", () => {
  assert.deepEqual(latent("\ud800x", 8), latent("\ufffdx", 8));
});

test("truncation scales in float32", () => {
  const z = latent("alice", 100);
  assert.equal(truncate(z, 1), z);
  assert.deepEqual(truncate(z, 0.7), z.map((value) => Math.fround(value * Math.fround(0.7))));
  for (const wrong of [-0.1, 2.1, NaN, "1"]) assert.throws(() => truncate(z, /** @type {any} */ (wrong)), InputError);
});

test("a series names its avatars", () => assert.deepEqual(series("S", 3), ["S/0", "S/1", "S/2"]));

test("what is not a string has no latent", () => {
  for (const wrong of [3, null, undefined, ["a"]]) assert.throws(() => latent(/** @type {any} */ (wrong), 8), InputError);
});
