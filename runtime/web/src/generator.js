// AvatarGenerator: a model and names become images.

import { Engine } from "./engine.js";
import { InputError, ModelFileError } from "./errors.js";
import { slerp } from "./interpolation.js";
import { latent, series, truncate } from "./latents.js";
import { decodePNG } from "./pixels.js";
import { RemoteEngine } from "./remote.js";

/** @typedef {import("./index.js").AvatarImage} AvatarImage */
/** @typedef {import("./index.js").LoadOptions} LoadOptions */
/** @typedef {import("./index.js").DrawOptions} DrawOptions */

const BATCH_SIZE = 16; // a hundred milliseconds of one core in WebAssembly
const IN_BROWSER = typeof location !== "undefined"; // Worker tells nothing: onnxruntime-web makes one in Node

export class AvatarGenerator {
  /** @param {Engine | RemoteEngine} engine Use AvatarGenerator.load. */
  constructor(engine) {
    this.engine = engine;
  }

  get spec() {
    return this.engine.spec;
  }

  /**
   * @param {string | URL | ArrayBuffer | Uint8Array} [model]
   * @param {LoadOptions} [options]
   */
  static async load(model = new URL("../models/anime-faces-64.onnx", import.meta.url), options = {}) {
    const { ort = defaultOrt(), wasm, threads, worker = IN_BROWSER } = options;
    const settings = { ort: String(ort), wasm, threads };
    const name = typeof model === "string" || model instanceof URL ? `${model}: ` : "";
    try {
      const data = await readModel(model);
      return new AvatarGenerator(
        worker
          ? await RemoteEngine.open(data, settings, worker === true ? undefined : worker)
          : await Engine.open(data, settings),
      );
    } catch (error) {
      if (error instanceof ModelFileError) throw new ModelFileError(name + error.message, { cause: error });
      throw error;
    }
  }

  /**
   * @param {Iterable<string> | number} names @param {DrawOptions} [options]
   * @returns {Promise<AvatarImage[]>}
   */
  async generate(names, options) {
    const images = [];
    for await (const part of this.stream(names, options)) images.push(...part);
    return images;
  }

  /**
   * @param {Iterable<string> | number} names @param {DrawOptions} [options]
   * @returns {AsyncGenerator<AvatarImage[]>}
   */
  async *stream(names, { seed = 0, truncation = 1, batchSize = BATCH_SIZE } = {}) {
    if (!(Number.isInteger(batchSize) && batchSize >= 1)) {
      throw new InputError(`batchSize must be at least 1, not ${batchSize}`);
    }
    const all = checkNames(names, seed);
    for (let start = 0; start < all.length; start += batchSize) {
      const batch = all.slice(start, start + batchSize);
      const latents = batch.map((name) => truncate(latent(name, this.spec.latent_dim), truncation));
      yield await this.draw(latents, batch);
    }
  }

  /**
   * @param {string} a @param {string} b @param {number} frames @param {DrawOptions} [options]
   * @returns {Promise<AvatarImage[]>}
   */
  async interpolate(a, b, frames, { truncation = 1, batchSize = BATCH_SIZE } = {}) {
    if (!(Number.isInteger(frames) && frames >= 2)) {
      throw new InputError(`the number of frames must be a whole number of at least 2, not ${frames}`);
    }
    const ends = [a, b].map((name) => latent(name, this.spec.latent_dim));
    const images = [];
    for (let start = 0; start < frames; start += batchSize) {
      const positions = Array.from({ length: Math.min(batchSize, frames - start) }, (_, i) => (start + i) / (frames - 1));
      const latents = positions.map((t) => truncate(slerp(ends[0], ends[1], t), truncation));
      images.push(...(await this.draw(latents, positions.map((t) => between(a, b, t)))));
    }
    return images;
  }

  /**
   * @param {string} a @param {string} b @param {number} t @param {DrawOptions} [options]
   * @returns {Promise<AvatarImage>}
   */
  async mix(a, b, t, { truncation = 1 } = {}) {
    const z = slerp(latent(a, this.spec.latent_dim), latent(b, this.spec.latent_dim), t);
    const [image] = await this.draw([truncate(z, truncation)], [between(a, b, t)]);
    return image;
  }

  async verify() {
    const { golden, image_size: size, channels } = this.spec;
    if (!golden) throw new ModelFileError("the model carries no golden check; export it again");
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
      throw new ModelFileError(
        `the model draws its golden images ${difference} levels off, ${golden.tolerance} are tolerated; ` +
          "the file or this onnxruntime-web is damaged",
      );
    }
    return difference;
  }

  async close() {
    await this.engine.close();
  }

  /**
   * @param {Float32Array[]} latents @param {string[]} names
   * @returns {Promise<AvatarImage[]>}
   */
  async draw(latents, names) {
    const { latent_dim: latentDim, image_size: size } = this.spec;
    const z = new Float32Array(latents.length * latentDim);
    latents.forEach((row, i) => z.set(row, i * latentDim));
    const rgba = await this.engine.draw(z, latents.length);
    const length = size * size * 4;
    return names.map((name, i) => ({ name, width: size, height: size, data: rgba.slice(i * length, (i + 1) * length) }));
  }
}

/** @param {string} a @param {string} b @param {number} t What an image between two names is called. */
function between(a, b, t) {
  return t === 0 ? a : t === 1 ? b : `${a} → ${b}, ${Math.round(t * 100)} %`;
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
  return [...names];
}

/** @param {string | URL | ArrayBuffer | Uint8Array} model @returns {Promise<Uint8Array>} */
async function readModel(model) {
  if (model instanceof ArrayBuffer) return new Uint8Array(model);
  if (model instanceof Uint8Array) return model;
  if (!IN_BROWSER && !/^https?:/.test(String(model))) {
    const { readFile } = await import("node:fs/promises");
    return readFile(model).catch((error) => {
      throw new ModelFileError(`cannot read it: ${error.message}`, { cause: error });
    });
  }
  const response = await fetch(model).catch((error) => {
    throw new ModelFileError(`cannot read it: ${error.message}`, { cause: error });
  });
  if (!response.ok) throw new ModelFileError(`cannot read it: HTTP ${response.status} ${response.statusText}`.trim());
  return new Uint8Array(await response.arrayBuffer());
}

/** Where onnxruntime-web is: as the import map or Node says, else in the same node_modules as this package. */
function defaultOrt() {
  try {
    return import.meta.resolve("onnxruntime-web/wasm");
  } catch {
    return new URL("../../onnxruntime-web/dist/ort.wasm.min.mjs", import.meta.url);
  }
}

