// AvatarGenerator: a model and names become images.

import { MODEL } from "./embedded.js";
import { AvatarError, InputError, ModelFileError } from "./errors.js";
import { slerp } from "./interpolation.js";
import { latent, series, truncate } from "./latents.js";
import { isAddress, readModel } from "./model.js";
import { OnnxRuntime } from "./onnxruntime.js";
import { decodePNG } from "./pixels.js";
import { Pool } from "./pool.js";
import { modelId, readSpec } from "./spec.js";

/** @typedef {import("./index.js").AvatarImage} AvatarImage */
/** @typedef {import("./index.js").ModelSource} ModelSource */
/** @typedef {import("./index.js").LoadOptions} LoadOptions */
/** @typedef {import("./index.js").DrawOptions} DrawOptions */
/** @typedef {{ name: string, latent: () => Float32Array }} Wish */

const BATCH_SIZE = 16;

export class AvatarGenerator {
  /** @param {Pool | OnnxRuntime} engine @param {import("./index.js").ModelSpec} spec Use AvatarGenerator.load. */
  constructor(engine, spec) {
    this.engine = engine;
    this.spec = spec;
  }

  /** Name and version of the model, such as "anime-faces-128@1". */
  get modelId() {
    return modelId(this.spec);
  }

  /** @param {ModelSource} [model] @param {LoadOptions} [options] */
  static async load(model, options = {}) {
    const { workers = workersHere(), ort, signal } = options;
    if (!(Number.isInteger(workers) && workers >= 0)) throw new InputError(`workers must be a whole number, not ${String(workers)}`);
    const source = model ?? MODEL.url;
    const sha256 = options.sha256 ?? (model === undefined ? MODEL.sha256 : undefined);
    try {
      const bytes = await readModel(source, { sha256, signal });
      const spec = readSpec(bytes);
      return new AvatarGenerator(await openEngine(bytes, spec, workers, ort), spec);
    } catch (error) {
      const address = isAddress(source) ? `${source}: ` : "";
      if (error instanceof ModelFileError) throw new ModelFileError(error.code, address + error.message, { cause: error });
      throw error;
    }
  }

  /** @param {Iterable<string> | number} names @param {DrawOptions} [options] */
  async generate(names, options) {
    return inOne(this.stream(names, options));
  }

  /** @param {Iterable<string> | number} names @param {DrawOptions} [options] */
  async *stream(names, options = {}) {
    const { seed = 0, truncation = 1 } = options;
    const dim = this.spec.latent_dim;
    truncate(new Float32Array(1), truncation); // refuses what is out of range
    const wishes = checkNames(names, seed).map((name) => ({ name, latent: () => truncate(latent(name, dim), truncation) }));
    yield* this.drawInOrder(wishes, options);
  }

  /** @param {string} a @param {string} b @param {number} frames @param {DrawOptions} [options] */
  async interpolate(a, b, frames, options = {}) {
    if (!(Number.isInteger(frames) && frames >= 2)) {
      throw new InputError(`the number of frames must be a whole number of at least 2, not ${frames}`);
    }
    const wishes = Array.from({ length: frames }, (_, i) => this.between(a, b, i / (frames - 1), options));
    return inOne(this.drawInOrder(wishes, options));
  }

  /** @param {string} a @param {string} b @param {number} t @param {DrawOptions} [options] */
  async mix(a, b, t, options = {}) {
    return this.draw(this.between(a, b, t, options), options);
  }

  async verify() {
    const { golden, image_size: size, channels } = this.spec;
    if (!golden) throw new ModelFileError("not-ours", "the model carries no golden check; export it again");
    const images = await this.generate(golden.names);
    let difference = 0;
    for (const [i, image] of images.entries()) {
      const expected = await decodePNG(Uint8Array.from(atob(golden.png[i]), (c) => c.charCodeAt(0)));
      for (let j = 0; j < size * size * channels; j++) {
        const drawn = image.data[Math.floor(j / channels) * 4 + (j % channels)];
        difference = Math.max(difference, Math.abs(drawn - expected[j]));
      }
    }
    if (difference > golden.tolerance) {
      const levels = `${difference} levels off, and ${golden.tolerance} are allowed`;
      throw new ModelFileError("damaged", `the model draws its golden images ${levels}; the file is damaged`);
    }
    return difference;
  }

  async close() {
    await this.engine.close();
  }

  /** @param {string} a @param {string} b @param {number} t @param {DrawOptions} options @returns {Wish} */
  between(a, b, t, { truncation = 1 }) {
    const dim = this.spec.latent_dim;
    const [start, end] = [latent(a, dim), latent(b, dim)];
    truncate(slerp(start, end, t), truncation); // refuses what is out of range now, not at its turn
    const name = t === 0 ? a : t === 1 ? b : `${a} → ${b}, ${Math.round(t * 100)} %`;
    return { name, latent: () => truncate(slerp(start, end, t), truncation) };
  }

  /**
   * Parts of batchSize in order. As many are under way as keep every worker busy, and no more: any number fits in memory.
   * @param {Wish[]} wishes @param {DrawOptions} options
   */
  async *drawInOrder(wishes, { batchSize = BATCH_SIZE, priority, signal } = {}) {
    if (!(Number.isInteger(batchSize) && batchSize >= 1)) {
      throw new InputError(`batchSize must be at least 1, not ${batchSize}`);
    }
    let stopped = false; // by a failure, or a caller who listens no more: those that wait are passed over
    const ahead = batchSize + 32 * Math.max(1, workersHere());
    /** @type {Promise<AvatarImage>[]} */
    const under = [];
    let asked = 0;
    try {
      for (let start = 0; start < wishes.length; start += batchSize) {
        for (; asked < Math.min(wishes.length, start + ahead); asked++) {
          const { name, latent } = wishes[asked];
          const unlessStopped = () => {
            if (stopped) throw new AvatarError("closed", "no longer wanted");
            return latent();
          };
          const drawn = this.draw({ name, latent: unlessStopped }, { priority });
          drawn.catch(() => {}); // reported when its part is awaited
          under.push(drawn);
        }
        yield await orAborted(Promise.all(under.splice(0, batchSize)), signal);
      }
    } finally {
      stopped = true;
    }
  }

  /** @param {Wish} wish @param {DrawOptions} options @returns {Promise<AvatarImage>} */
  async draw({ name, latent }, { priority, signal }) {
    const { image_size: size } = this.spec;
    const data = await this.engine.draw(latent, { urgent: priority === "high", signal });
    return { name, width: size, height: size, data };
  }
}

/** @param {Uint8Array} bytes @param {import("./index.js").ModelSpec} spec @param {number} workers @param {LoadOptions["ort"]} ort */
async function openEngine(bytes, spec, workers, ort) {
  try {
    return await Pool.open(bytes, workers);
  } catch (error) {
    if (!(error instanceof ModelFileError && error.code === "unsupported")) throw error;
    if (ort) return OnnxRuntime.open(bytes, spec, await (typeof ort === "function" ? ort() : ort));
    throw new ModelFileError(
      "unsupported",
      `${error.message}; export it in int8, or install onnxruntime-web and load it with { ort: () => import("onnxruntime-web/wasm") }`,
      { cause: error },
    );
  }
}

/** One worker for each CPU; where there are none, as in Node or a service worker, this thread draws. */
function workersHere() {
  const browser = typeof location !== "undefined" && typeof Worker !== "undefined";
  return browser ? Math.max(1, navigator.hardwareConcurrency || 1) : 0;
}

/** @param {AsyncGenerator<AvatarImage[]>} parts */
async function inOne(parts) {
  const images = [];
  for await (const part of parts) images.push(...part);
  return images;
}

/** @template T @param {Promise<T>} work @param {AbortSignal} [signal] @returns {Promise<T>} */
function orAborted(work, signal) {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

/** @param {Iterable<string> | number} names @param {string | number} seed */
function checkNames(names, seed) {
  if (typeof names === "number") {
    if (!(Number.isInteger(names) && names >= 1)) throw new InputError(`the number of avatars must be at least 1, not ${names}`);
    return series(seed, names);
  }
  if (typeof names === "string") {
    throw new InputError(`names must be an array of strings; for one avatar write [${JSON.stringify(names)}]`);
  }
  if (typeof names?.[Symbol.iterator] !== "function") {
    throw new InputError(`names must be an array of strings, or a whole number of avatars, not ${String(names)}`);
  }
  const all = [...names];
  for (const name of all) latent(name, 0); // refuses what is no string
  return all;
}
