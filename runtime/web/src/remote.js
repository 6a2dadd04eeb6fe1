// The page's end of worker.js: an Engine whose work is done elsewhere.

import { AvatarError, InputError, ModelFileError, OutputError } from "./errors.js";

export class RemoteEngine {
  /** @param {Worker} worker */
  constructor(worker) {
    this.worker = worker;
    this.spec = /** @type {import("./index.js").ModelSpec} */ ({});
    /** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void }>} */
    this.waiting = new Map();
    this.calls = 0;
    worker.addEventListener("message", ({ data: { id, value, error } }) => {
      const call = this.waiting.get(id);
      this.waiting.delete(id);
      if (error) call?.reject(revive(error));
      else call?.resolve(value);
    });
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.fail(new AvatarError(`the worker failed (${event.message || "its script cannot be loaded"})`));
    });
  }

  /**
   * @param {Uint8Array} model
   * @param {import("./engine.js").EngineOptions} options
   * @param {() => Worker} [start] Starts worker.js, if it is not beside this file.
   */
  static async open(model, options, start = startWorker) {
    const engine = new RemoteEngine(start());
    try {
      engine.spec = await engine.call("open", [model, options]);
    } catch (error) {
      engine.close();
      throw error;
    }
    return engine;
  }

  /** @param {Float32Array} z @param {number} count @returns {Promise<Uint8ClampedArray<ArrayBuffer>>} */
  draw(z, count) {
    return this.call("draw", [z, count]);
  }

  close() {
    this.worker.terminate();
    this.fail(new AvatarError("the generator was closed"));
  }

  /** @param {string} method @param {unknown[]} args @returns {Promise<any>} */
  call(method, args) {
    return new Promise((resolve, reject) => {
      const id = this.calls++;
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, method, args });
    });
  }

  /** @param {Error} error */
  fail(error) {
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }
}

function startWorker() {
  const here = new URL("./worker.js", import.meta.url);
  // A bundler looks for this very expression to find the worker's file.
  if (here.origin === location.origin) return new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  // A worker must come from the page's own origin; one of a single line may import the rest from a content network.
  const script = new Blob([`import ${JSON.stringify(here.href)};`], { type: "text/javascript" });
  return new Worker(URL.createObjectURL(script), { type: "module" });
}

/** @param {{ name: string, message: string }} error */
function revive({ name, message }) {
  const Kind = [InputError, ModelFileError, OutputError].find((kind) => kind.name === name) ?? AvatarError;
  return new Kind(message);
}
