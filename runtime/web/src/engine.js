// The only file that knows onnxruntime-web: a model's bytes become a session, a session turns latents into pixels.

import { ModelFileError } from "./errors.js";
import { toRGBA } from "./pixels.js";
import { readSpec } from "./spec.js";

const OUTPUT_NAMES = { uint8: "images", float32: "image" };

/** @typedef {{ ort: string, wasm?: string | ArrayBuffer, threads?: number }} EngineOptions */

export class Engine {
  /**
   * @param {any} ort @param {any} session
   * @param {import("./index.js").ModelSpec} spec
   */
  constructor(ort, session, spec) {
    this.ort = ort;
    this.session = session;
    this.spec = spec;
  }

  /**
   * @param {Uint8Array} model
   * @param {EngineOptions} options
   */
  static async open(model, { ort: url, wasm, threads }) {
    const spec = readSpec(model);
    const ort = await import(/* webpackIgnore: true */ /* @vite-ignore */ url).catch((error) => {
      throw new ModelFileError(
        `cannot load onnxruntime-web from ${url} (${error.message}); install it beside this package or give its address as the option ort`,
        { cause: error },
      );
    });
    ort.env.wasm.numThreads = threads ?? (globalThis.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1);
    if (wasm instanceof ArrayBuffer) ort.env.wasm.wasmBinary = wasm;
    else if (wasm) ort.env.wasm.wasmPaths = wasm;
    let session;
    try {
      session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"], logSeverityLevel: 4 });
    } catch (error) {
      const reason = error instanceof Error ? error.message : error;
      throw new ModelFileError(`it is not an ONNX model that onnxruntime-web can load (${reason})`, { cause: error });
    }
    const found = [...session.inputNames, ...session.outputNames].join(", ");
    const promised = `z, ${OUTPUT_NAMES[spec.output]}`;
    if (found !== promised) {
      throw new ModelFileError(`its graph does not fit its contract (${found} instead of ${promised}); export it again`);
    }
    return new Engine(ort, session, spec);
  }

  /**
   * @param {Float32Array} z [count, latent_dim]
   * @param {number} count
   * @returns {Promise<Uint8ClampedArray<ArrayBuffer>>} RGBA [count, H, W, 4]
   */
  async draw(z, count) {
    const { latent_dim: latentDim, output, image_size: size, channels } = this.spec;
    const tensor = new this.ort.Tensor("float32", z, [count, latentDim]);
    let data;
    try {
      data = (await this.session.run({ z: tensor }))[OUTPUT_NAMES[output]].data;
    } catch (error) {
      const reason = error instanceof Error ? error.message : error;
      throw new ModelFileError(`its graph does not run (${reason}); export it again`, { cause: error });
    }
    if (data.length !== count * size * size * channels) {
      throw new ModelFileError(`its graph does not fit its contract (${data.length} values for ${count} images of ${size}x${size}x${channels}); export it again`);
    }
    return toRGBA(data, this.spec);
  }

  async close() {
    await this.session.release();
  }
}
