// An Engine in a worker, so that a page stays smooth: answers { id, method, args } with { id, value } or { id, error }.

import { Engine } from "./engine.js";

/** @type {Engine} */
let engine;

const methods = {
  /** @param {Uint8Array} model @param {import("./engine.js").EngineOptions} options */
  async open(model, options) {
    engine = await Engine.open(model, options);
    return engine.spec;
  },
  /** @param {Float32Array} z @param {number} count */
  draw: (z, count) => engine.draw(z, count),
};

self.addEventListener("message", async ({ data: { id, method, args } }) => {
  try {
    const value = await methods[/** @type {"open" | "draw"} */ (method)](.../** @type {[any, any]} */ (args));
    self.postMessage({ id, value }, { transfer: value instanceof Uint8ClampedArray ? [value.buffer] : [] });
  } catch (error) {
    const { name, message } = /** @type {Error} */ (error);
    self.postMessage({ id, error: { name, message } });
  }
});
