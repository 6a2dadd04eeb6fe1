// For model files of floats, which the engine does not draw: onnxruntime-web, which the caller brings along.

import { AvatarError, ModelFileError, reasonOf } from "./errors.js";
import { toRGBA } from "./pixels.js";

const OUTPUT_NAMES = { uint8: "images", float32: "image" };

/** Draws like a Pool, in the thread of the caller or as onnxruntime-web is set. */
export class OnnxRuntime {
  /** @param {any} ort @param {any} session @param {import("./index.js").ModelSpec} spec */
  constructor(ort, session, spec) {
    this.ort = ort;
    this.session = session;
    this.spec = spec;
    /** @type {Promise<unknown>} */
    this.last = Promise.resolve(); // a session draws one thing at a time
  }

  /** @param {Uint8Array} model @param {import("./index.js").ModelSpec} spec @param {any} ort The module of onnxruntime-web. */
  static async open(model, spec, ort) {
    let session;
    try {
      session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"], logSeverityLevel: 4 });
    } catch (error) {
      throw new ModelFileError("not-a-model", `it is not an ONNX model that onnxruntime-web can load (${reasonOf(error)})`, { cause: error });
    }
    const found = [...session.inputNames, ...session.outputNames].join(", ");
    const promised = `z, ${OUTPUT_NAMES[spec.output]}`;
    if (found !== promised) throw misfit(`${found} instead of ${promised}`);
    return new OnnxRuntime(ort, session, spec);
  }

  /**
   * @param {() => Float32Array} latent @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<Uint8ClampedArray<ArrayBuffer>>} RGBA [H, W, 4]
   */
  draw(latent, { signal } = {}) {
    const drawn = this.last.then(async () => {
      signal?.throwIfAborted();
      if (!this.session) throw new AvatarError("closed", "the generator was closed");
      const { latent_dim: latentDim, output, image_size: size, channels } = this.spec;
      const z = new this.ort.Tensor("float32", latent(), [1, latentDim]);
      const results = await this.session.run({ z }).catch((/** @type {unknown} */ error) => {
        throw new ModelFileError("damaged", `its graph does not run (${reasonOf(error)}); export it again`, { cause: error });
      });
      const { data } = results[OUTPUT_NAMES[output]];
      if (data.length !== size * size * channels) throw misfit(`${data.length} values for an image of ${size}x${size}x${channels}`);
      return toRGBA(data, this.spec);
    });
    this.last = drawn.catch(() => {});
    return drawn;
  }

  async close() {
    const { session } = this;
    this.session = undefined;
    await this.last;
    await session?.release();
  }
}

/** @param {string} what */
function misfit(what) {
  return new ModelFileError("damaged", `its graph does not fit its metadata (${what}); export it again`);
}
