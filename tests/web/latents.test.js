// The fixture that Python's tests use too: node --test tests/web
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { InputError, latent, slerp, truncate } from "../../runtime/web/src/index.js";

const fixture = JSON.parse(readFileSync(new URL("../runtime/latents_fixture.json", import.meta.url), "utf8"));

/** @param {Float32Array} z */
const hash = (z) => createHash("sha256").update(new Uint8Array(z.buffer, z.byteOffset, z.byteLength)).digest("hex");

test("a thousand names give the latents that Python gives, bit for bit", () => {
  const pinned = [...fixture.latents.map(({ name, times = 1, sha256 }) => [name.repeat(times), sha256]), ...fixture.more];
  assert.ok(pinned.length >= 1000);
  for (const [name, digest] of pinned) assert.ok(hash(latent(name, fixture.latent_dim)).startsWith(digest), JSON.stringify(name));
});

test("the way between two names is Python's, bit for bit", () => {
  for (const { a, b, latent_dim: dim, positions, sha256 } of fixture.slerp) {
    const rows = positions.map((/** @type {number} */ t) => slerp(latent(a, dim), latent(b, dim), t));
    const all = new Float32Array(rows.flatMap((/** @type {Float32Array} */ row) => [...row]));
    assert.equal(hash(all), sha256, `${a} to ${b}`);
  }
});

test("truncation scales in float32", () => {
  const z = latent("alice", 100);
  assert.equal(truncate(z, 1), z);
  assert.deepEqual(truncate(z, 0.7), z.map((value) => Math.fround(value * Math.fround(0.7))));
  for (const wrong of [-0.1, 2.1, NaN, "1"]) assert.throws(() => truncate(z, /** @type {any} */ (wrong)), InputError);
});
