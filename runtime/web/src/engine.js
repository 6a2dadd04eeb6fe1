// The page's end of avatar.wasm (runtime/native/avatar.h). This file imports nothing: prepare.js makes a worker of its text.
// It answers { id, method, args } with { id, value } or { id, error: { code, message } }.

/**
 * @typedef {{ onmessage: ((event: { data: any }) => void) | null,
 *   postMessage(message: unknown, transfer?: any): void }} Port A worker's own scope, or what stands for one.
 */

/** @param {Port} port */
export function serveEngine(port) {
  const CODES = ["", "damaged", "unsupported", "not-ours", "newer", "unsupported", "unsupported", "damaged", "unsupported", "unsupported", "memory", "memory"];
  /** @type {any} */
  let engine;
  let [model, zAt, imageAt, latentDim, pixels, channels] = [0, 0, 0, 0, 0, 0];

  /** @param {number} at */
  function textAt(at) {
    const bytes = new Uint8Array(engine.memory.buffer, at);
    return new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)));
  }

  /** @param {string} code @param {string} message */
  function failure(code, message) {
    return Object.assign(new Error(message), { code });
  }

  /** @param {number} bytes @returns {number} */
  function allocate(bytes) {
    const at = engine.avatar_allocate(bytes);
    if (!at) throw failure("memory", "there is not enough memory for the model");
    return at;
  }

  const methods = {
    /** @param {WebAssembly.Module} module @param {Uint8Array} file */
    async open(module, file) {
      engine = (await WebAssembly.instantiate(module, {})).exports;
      const fileAt = allocate(file.length);
      new Uint8Array(engine.memory.buffer).set(file, fileAt);
      model = engine.avatar_open(fileAt, file.length);
      if (model <= 0) throw failure(CODES[-model], textAt(engine.avatar_error_text(-model)));
      latentDim = engine.avatar_latent_dim(model);
      channels = engine.avatar_channels(model);
      pixels = engine.avatar_width(model) * engine.avatar_height(model);
      zAt = allocate(latentDim * 4);
      imageAt = allocate(pixels * channels);
    },

    /** @param {Float32Array} z [latent_dim] @returns {Uint8ClampedArray} RGBA [H, W, 4] */
    draw(z) {
      new Float32Array(engine.memory.buffer, zAt, latentDim).set(z);
      engine.avatar_draw(model, zAt, imageAt);
      const drawn = new Uint8Array(engine.memory.buffer, imageAt, pixels * channels);
      const rgba = new Uint8ClampedArray(pixels * 4);
      for (let pixel = 0; pixel < pixels; pixel++) {
        for (let c = 0; c < 3; c++) rgba[pixel * 4 + c] = drawn[pixel * channels + (channels === 1 ? 0 : c)];
        rgba[pixel * 4 + 3] = 255;
      }
      return rgba;
    },
  };

  port.onmessage = async ({ data: { id, method, args } }) => {
    try {
      const value = await methods[/** @type {"open" | "draw"} */ (method)](.../** @type {[any, any]} */ (args));
      port.postMessage({ id, value }, value ? [value.buffer] : []);
    } catch (error) {
      const { code = "engine", message } = /** @type {Error & { code?: string }} */ (error);
      port.postMessage({ id, error: { code, message } });
    }
  };
}
