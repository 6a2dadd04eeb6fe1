// A model's bytes, from wherever they are. Those with a known digest are checked, and kept in Cache Storage under it.

import { ModelFileError, InputError } from "./errors.js";
import { hex, sha256 } from "./sha256.js";
import { modelId, readSpec } from "./spec.js";

/** @typedef {import("./index.js").ModelSource} ModelSource */

const CACHE = "avatar-edge-models";
const KEPT_MODELS = 4; // models of a few MB

/**
 * @param {ModelSource} source
 * @param {{ sha256?: string, signal?: AbortSignal }} [options] The digest that the bytes must have, in hexadecimal.
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
export async function readModel(source, { sha256: digest, signal } = {}) {
  if (isAddress(source)) {
    if (!digest) return fetchModel(source, { signal });
    return (await fromCache(digest)) ?? fresh(source, digest, signal);
  }
  const bytes = await bytesOf(source);
  if (digest && (await digestOf(bytes)) !== digest) throw damaged(bytes, digest);
  return bytes;
}

/** @param {ModelSource} source @returns {source is string | URL} */
export function isAddress(source) {
  return ["String", "URL"].includes(kindOf(source));
}

/** What instanceof would tell, but also of what another window made. @param {unknown} value @returns {string} */
function kindOf(value) {
  return Object.prototype.toString.call(value).slice(8, -1);
}

/** @param {Exclude<ModelSource, string | URL>} source @returns {Promise<Uint8Array<ArrayBuffer>>} */
async function bytesOf(source) {
  const kind = kindOf(source);
  if (kind === "Uint8Array") return /** @type {Uint8Array<ArrayBuffer>} */ (source);
  if (kind === "ArrayBuffer") return new Uint8Array(/** @type {ArrayBuffer} */ (source));
  if (kind === "Response") return body(/** @type {Response} */ (source));
  if (kind === "Blob" || kind === "File") return new Uint8Array(await /** @type {Blob} */ (source).arrayBuffer());
  throw new InputError(`a model is an address, a Response, a File or bytes, not ${String(source)}`);
}

/** Downloads, and once more past every cache if what came is damaged. @param {string | URL} address @param {string} digest @param {AbortSignal} [signal] */
async function fresh(address, digest, signal) {
  let bytes = await fetchModel(address, { signal });
  if ((await digestOf(bytes)) !== digest) {
    bytes = await fetchModel(address, { cache: "reload", signal });
    if ((await digestOf(bytes)) !== digest) throw damaged(bytes, digest);
  }
  await keep(digest, bytes);
  return bytes;
}

/** @param {string | URL} address @param {RequestInit} init @returns {Promise<Uint8Array<ArrayBuffer>>} */
async function fetchModel(address, init) {
  if (isNode() && !/^(https?|data|blob):/.test(String(address))) return fromDisk(address);
  const response = await fetch(address, init).catch((error) => {
    init.signal?.throwIfAborted();
    throw unreachable(error);
  });
  return body(response);
}

/** @param {Response} response */
async function body(response) {
  if (!response.ok) throw new ModelFileError("unreachable", `cannot read it: HTTP ${response.status} ${response.statusText}`.trim());
  if (response.headers.get("content-type")?.startsWith("text/html")) {
    throw new ModelFileError("unreachable", "a web page came instead of a model: the address is wrong");
  }
  return new Uint8Array(await response.arrayBuffer().catch((error) => { throw unreachable(error); }));
}

/** @param {string | URL} path @returns {Promise<Uint8Array<ArrayBuffer>>} */
async function fromDisk(path) {
  const name = "node:fs/promises"; // not a literal import: bundlers for the browser would look for it
  const { readFile } = await import(/* webpackIgnore: true */ /* turbopackIgnore: true */ /* @vite-ignore */ name);
  return readFile(path).catch((/** @type {Error} */ error) => { throw unreachable(error); });
}

/** @param {string} digest */
async function fromCache(digest) {
  try {
    const kept = await (await caches.open(CACHE)).match(key(digest), { ignoreSearch: true });
    if (!kept) return undefined;
    const bytes = new Uint8Array(await kept.arrayBuffer());
    return (await digestOf(bytes)) === digest ? bytes : undefined;
  } catch {
    return undefined; // not a secure page, Node, or storage is switched off: the HTTP cache remains
  }
}

/** @param {string} digest @param {Uint8Array<ArrayBuffer>} bytes */
async function keep(digest, bytes) {
  try {
    const cache = await caches.open(CACHE);
    const kept = key(digest);
    kept.search = `model=${modelId(readSpec(bytes))}`; // for who looks into the cache
    await cache.put(kept, new Response(bytes, { headers: { "content-type": "application/octet-stream" } }));
    for (const old of (await cache.keys()).slice(0, -KEPT_MODELS)) await cache.delete(old);
  } catch {
    // no room, no Cache Storage, or no model: what came is in memory all the same
  }
}

/** @param {string} digest An address that nothing is asked for: it only names the bytes. */
function key(digest) {
  return new URL(`/.avatar-edge/${digest}.onnx`, location.origin);
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
async function digestOf(bytes) {
  if (!globalThis.crypto?.subtle) return hex(sha256(bytes));
  const digest = new DataView(await crypto.subtle.digest("SHA-256", bytes));
  return hex(Uint32Array.from({ length: 8 }, (_, i) => digest.getUint32(i * 4)));
}

function isNode() {
  return typeof location === "undefined" && Boolean(/** @type {any} */ (globalThis).process?.versions?.node);
}

/** @param {Error} error */
function unreachable(error) {
  return new ModelFileError("unreachable", `cannot read it: ${error.message}`, { cause: error });
}

/** @param {Uint8Array} bytes @param {string} digest */
function damaged(bytes, digest) {
  const what = `${bytes.length} bytes whose SHA-256 is not ${digest}`;
  return new ModelFileError("damaged", `what arrived is damaged, or another file: ${what}; load it again`);
}
