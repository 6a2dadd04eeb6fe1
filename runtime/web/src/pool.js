// The workers that draw, and the faces that wait for them. One face a message: what is asked for first, or has become
// urgent, never waits for more than the two faces that a worker has already.

import { WASM, WORKER } from "./embedded.js";
import { AvatarError, ModelFileError, reasonOf } from "./errors.js";
import { serveEngine } from "./engine.js";

const IN_FLIGHT = 2; // one is drawn while the next travels
const IDLE = 5000; // milliseconds until the memory of workers without work is given back
const CROWD = 8; // faces waiting for each worker before another is started: about what its start takes

/**
 * @typedef {{ latent: () => Float32Array, urgent: boolean, resolve: (rgba: Uint8ClampedArray<ArrayBuffer>) => void,
 *   reject: (error: unknown) => void, signal?: AbortSignal, onAbort?: () => void }} Job
 * @typedef {{ postMessage(message: unknown): void, terminate(): void, onmessage: ((event: { data: any }) => void) | null,
 *   onerror?: ((event: any) => void) | null }} Thread
 */

export class Pool {
  lanes = /** @type {Set<Lane>} */ (new Set());
  urgent = /** @type {Set<Job>} */ (new Set());
  waiting = /** @type {Set<Job>} */ (new Set());
  closed = false;
  idle = /** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined);
  engine = /** @type {Promise<WebAssembly.Module> | undefined} */ (undefined);

  /** @param {Uint8Array} model @param {number} limit Workers at most; 0 draws in this thread. */
  constructor(model, limit) {
    this.model = model;
    this.limit = limit;
  }

  /** @param {Uint8Array} model @param {number} limit */
  static async open(model, limit) {
    const pool = new Pool(model, limit);
    await pool.start();
    return pool;
  }

  /**
   * @param {() => Float32Array} latent Called when its turn comes.
   * @param {{ urgent?: boolean, signal?: AbortSignal }} [options]
   * @returns {Promise<Uint8ClampedArray<ArrayBuffer>>} RGBA [H, W, 4]
   */
  draw(latent, { urgent = false, signal } = {}) {
    return new Promise((resolve, reject) => {
      if (this.closed) throw closedError();
      signal?.throwIfAborted();
      /** @type {Job} */
      const job = { latent, urgent, resolve, reject, signal };
      job.onAbort = () => {
        this.urgent.delete(job);
        this.waiting.delete(job);
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", job.onAbort, { once: true });
      (urgent ? this.urgent : this.waiting).add(job);
      this.feed();
    });
  }

  close() {
    this.closed = true;
    clearTimeout(this.idle);
    for (const lane of this.lanes) lane.end(closedError());
    this.fail(closedError());
  }

  /** Gives waiting faces to free workers, and starts another worker for a crowd. */
  feed() {
    for (const lane of this.lanes) {
      while (lane.ready && lane.jobs.size < IN_FLIGHT) {
        const job = this.next();
        if (!job) return this.rest();
        lane.draw(job);
      }
    }
    const crowded = this.urgent.size + this.waiting.size > CROWD * this.lanes.size;
    if ((crowded && this.lanes.size < this.limit) || !this.lanes.size) this.start().catch((error) => this.fail(error));
  }

  /** One worker stays; the others end if there is still nothing to do in a while. */
  rest() {
    if (this.lanes.size < 2) return;
    clearTimeout(this.idle);
    this.idle = setTimeout(() => {
      for (const lane of this.lanes) {
        if (this.lanes.size > 1 && lane.ready && !lane.jobs.size) lane.end(closedError());
      }
    }, IDLE);
  }

  next() {
    const queue = this.urgent.size ? this.urgent : this.waiting;
    const [job] = queue;
    queue.delete(job);
    return job;
  }

  /** Starts a worker. @returns {Promise<void>} */
  async start() {
    let lane;
    try {
      lane = new Lane(this.limit ? startWorker() : inThisThread(), this);
      this.lanes.add(lane);
      this.engine ??= compile();
      const engine = await this.engine;
      if (this.closed) throw closedError();
      await lane.call("open", [engine, this.model]);
    } catch (error) {
      lane?.end(error);
      // A Content-Security-Policy may forbid the worker's blob: this thread can draw, too.
      if (!(error instanceof AvatarError && error.code === "worker") || !this.limit || this.lanes.size) throw error;
      this.limit = 0;
      return this.start();
    }
    lane.ready = true;
    this.feed();
  }

  /** No worker can be had: those that wait cannot be drawn. @param {unknown} error */
  fail(error) {
    if (this.lanes.size) return; // the others will draw them
    const jobs = [...this.urgent, ...this.waiting];
    this.urgent.clear();
    this.waiting.clear();
    for (const job of jobs) settle(job).reject(error);
  }
}

/** A worker and what it has been asked. */
class Lane {
  ready = false;
  calls = 0;
  failed = /** @type {unknown} */ (undefined);
  jobs = /** @type {Map<number, Job>} */ (new Map());

  /** @param {Thread} thread @param {Pool} pool */
  constructor(thread, pool) {
    this.thread = thread;
    this.pool = pool;
    thread.onmessage = ({ data: { id, value, error } }) => {
      const job = this.jobs.get(id);
      this.jobs.delete(id);
      if (!job) return;
      settle(job);
      if (error) job.reject(new ModelFileError(error.code, error.message));
      else job.resolve(value);
      if (this.ready) pool.feed();
    };
    thread.onerror = (event) => {
      event.preventDefault?.();
      this.end(new AvatarError("worker", `the worker failed (${event.message || "its script is not allowed here"})`));
      if (this.ready && !pool.closed && pool.urgent.size + pool.waiting.size) pool.feed();
    };
  }

  /** The worker is given up; what it has been asked is rejected. @param {unknown} error */
  end(error) {
    this.failed = error;
    this.thread.terminate();
    this.pool.lanes.delete(this);
    for (const job of this.jobs.values()) settle(job).reject(error);
  }

  /** @param {Job} job */
  draw(job) {
    try {
      this.send("draw", [job.latent()], job);
    } catch (error) {
      settle(job).reject(error);
    }
  }

  /** @param {"open" | "draw"} method @param {unknown[]} args @returns {Promise<any>} */
  call(method, args) {
    return new Promise((resolve, reject) =>
      this.send(method, args, { latent: () => new Float32Array(), urgent: true, resolve, reject }),
    );
  }

  /** @param {string} method @param {unknown[]} args @param {Job} job */
  send(method, args, job) {
    if (this.failed) return settle(job).reject(this.failed);
    const id = this.calls++;
    this.jobs.set(id, job);
    this.thread.postMessage({ id, method, args });
  }
}

/** @param {Job} job */
function settle(job) {
  if (job.onAbort) job.signal?.removeEventListener("abort", job.onAbort);
  return job;
}

/** The engine, compiled once and sent to every worker. Instantiated, too: only that is what a policy forbids in WebKit. */
async function compile() {
  try {
    return (await WebAssembly.instantiate(Uint8Array.from(atob(WASM), (c) => c.charCodeAt(0)), {})).module;
  } catch (error) {
    const reason = reasonOf(error);
    throw new AvatarError(
      "webassembly",
      /Content.Security.Policy|CSP|unsafe-eval/i.test(reason)
        ? "this page's Content-Security-Policy forbids WebAssembly; add 'wasm-unsafe-eval' to its script-src"
        : `this browser cannot run the engine: it needs WebAssembly with SIMD (${reason})`,
      { cause: error },
    );
  }
}

/** The worker's script travels inside this module: no bundler has to find it. */
function startWorker() {
  const address = URL.createObjectURL(new Blob([WORKER], { type: "text/javascript" }));
  try {
    return /** @type {Thread} */ (new Worker(address, { name: "avatar-edge" }));
  } catch (error) {
    throw new AvatarError("worker", "this page cannot start a worker", { cause: error });
  } finally {
    setTimeout(() => URL.revokeObjectURL(address), 60_000); // it is read later
  }
}

/** The same engine without a worker; between two faces the page has its turn. @returns {Thread} */
function inThisThread() {
  /** @type {(() => void)[]} */
  const tasks = [];
  const later = taskQueue(() => tasks.shift()?.());
  /** @type {Thread} */
  const thread = {
    onmessage: null,
    postMessage: (data) => {
      tasks.push(() => port.onmessage?.({ data }));
      later();
    },
    terminate: () => void (port.onmessage = null),
  };
  /** @type {import("./engine.js").Port} */
  const port = { onmessage: null, postMessage: (data) => thread.onmessage?.({ data }) };
  serveEngine(port);
  return thread;
}

/** What runs a task after what the page has to do: timers wait 4 ms. @param {() => void} task @returns {() => void} */
function taskQueue(task) {
  const { setImmediate } = /** @type {any} */ (globalThis);
  if (setImmediate) return () => setImmediate(task);
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = task;
  return () => port2.postMessage(0);
}

function closedError() {
  return new AvatarError("closed", "the generator was closed");
}
