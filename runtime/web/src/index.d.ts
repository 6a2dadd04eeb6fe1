/** One avatar: RGBA, ready for `new ImageData(image.data, image.width, image.height)`. */
export interface AvatarImage {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray<ArrayBuffer>;
}

/** The metadata inside a model file; the names are those of avatar_runtime.ModelSpec. */
export interface ModelSpec {
  readonly format_version: number;
  readonly name: string;
  /** Which model of this name it is; 1 if it is absent. */
  readonly version?: number;
  readonly latent_dim: number;
  readonly image_size: number;
  readonly channels: 1 | 3;
  readonly output: "uint8" | "float32";
  readonly pixel_range: [number, number];
  readonly latent_scheme: string;
  readonly precision: string;
  readonly passes: string[];
  readonly checkpoint_sha256: string;
  readonly parity: Record<string, unknown>;
  readonly license: string;
  readonly provenance: string;
  readonly golden: { names: string[]; sha256: string[]; png: string[]; tolerance: number } | null;
}

/** Where a model comes from: an address, what fetch answered, a file that a person chose, or its bytes. */
export type ModelSource = string | URL | Response | Blob | ArrayBuffer | Uint8Array;

export interface LoadOptions {
  /** Workers at most; 0 draws in this thread. Default: one for each CPU in a browser, 0 elsewhere. */
  workers?: number;
  /** The digest that the file must have, in hexadecimal: it is then checked, and kept in Cache Storage. */
  sha256?: string;
  /** For files of floats, which the engine does not draw: `() => import("onnxruntime-web/wasm")`. */
  ort?: object | (() => Promise<object>);
  /** Ends the download. */
  signal?: AbortSignal;
}

export interface DrawOptions {
  /** The series that a number of avatars belongs to: avatar i is named "seed/i". Default: 0. */
  seed?: string | number;
  /** From 0 to 2; below 1 nearer to the average face. Default: 1. */
  truncation?: number;
  /** Avatars in each part of a stream. Default: 16. */
  batchSize?: number;
  /** Ends the drawing: the promise is rejected with the signal's reason. */
  signal?: AbortSignal;
  /** "high" goes before all that waits. Default: "normal". */
  priority?: "high" | "normal";
}

export class AvatarGenerator {
  private constructor();
  readonly spec: ModelSpec;
  /** Name and version of the model, such as "anime-faces-128@1": the same id and name give the same face for ever. */
  readonly modelId: string;
  /**
   * Open a model file, by default the one of the package avatar-runtime-web-model.
   * @throws {ModelFileError} if it cannot be read or drawn, or is not one of ours.
   */
  static load(model?: ModelSource, options?: LoadOptions): Promise<AvatarGenerator>;
  /**
   * The avatars of names, or the first so many of a series, drawn by as many workers as pay.
   * @throws {InputError}
   */
  generate(names: Iterable<string> | number, options?: DrawOptions): Promise<AvatarImage[]>;
  /**
   * The way from the avatar of a to that of b in equal steps along the great circle, both ends included.
   * @throws {InputError} unless frames is at least 2.
   */
  interpolate(a: string, b: string, frames: number, options?: DrawOptions): Promise<AvatarImage[]>;
  /** The one avatar at t, from 0, exactly that of a, to 1, exactly that of b. @throws {InputError} */
  mix(a: string, b: string, t: number, options?: DrawOptions): Promise<AvatarImage>;
  /** What generate gives, in parts of batchSize: any number fits in memory. */
  stream(names: Iterable<string> | number, options?: DrawOptions): AsyncGenerator<AvatarImage[]>;
  /**
   * Draw the model's golden images and compare: the largest difference in levels (of 255).
   * @throws {ModelFileError} if that is more than the model tolerates.
   */
  verify(): Promise<number>;
  /** Give the memory back; calls under way are rejected. */
  close(): Promise<void>;
}

/** Draw an image on a canvas, by default a new one, which gets the image's size. */
export function toCanvas(image: AvatarImage): HTMLCanvasElement | OffscreenCanvas;
export function toCanvas<Canvas extends HTMLCanvasElement | OffscreenCanvas>(image: AvatarImage, canvas: Canvas): Canvas;
/** The bytes of a picture file. @throws {OutputError} if the browser cannot write the type. Default: image/png. */
export function toBlob(image: AvatarImage, type?: string): Promise<Blob>;

/** The tag of the rule that makes a name a latent. */
export const SCHEME: string;
/** The latent vector of a name: standard normal numbers, equal bit for bit to avatar_runtime's. */
export function latent(name: string, latentDim: number): Float32Array;
/** The latent at t, from 0 to 1, on the great circle from a to b; equal bit for bit to avatar_runtime's. */
export function slerp(a: Float32Array, b: Float32Array, t: number): Float32Array;
/** The names of a series: "S/0", "S/1", … @throws {InputError} */
export function series(seed: string | number, count: number): string[];
/** z scaled by truncation, from 0 to 2. @throws {InputError} */
export function truncate(z: Float32Array, truncation: number): Float32Array;

/**
 * What went wrong, the same in every version:
 * - argument: out of range or of the wrong type;
 * - unreachable: the model cannot be downloaded or read;
 * - damaged: the model is not what was published, or contradicts itself;
 * - not-a-model, not-ours, newer: no ONNX file, one without avatar-edge's metadata, one of a newer version;
 * - unsupported: a sound model that the engine does not draw, such as one of floats;
 * - memory: too large for this device;
 * - webassembly: the browser or the page's Content-Security-Policy forbids the engine;
 * - worker, engine: a worker, or the engine in it, failed;
 * - canvas, format: no canvas here, or no such picture format;
 * - closed: the generator was closed.
 */
export type ErrorCode =
  | "argument" | "unreachable" | "damaged" | "not-a-model" | "not-ours" | "newer" | "unsupported"
  | "memory" | "webassembly" | "worker" | "engine" | "canvas" | "format" | "closed";

/** Anything that this package refuses or cannot do; its message says what is wrong and what to do. */
export class AvatarError extends Error {
  constructor(code: ErrorCode, message: string, options?: ErrorOptions);
  readonly code: ErrorCode;
}
/** An argument is out of range or of the wrong type. */
export class InputError extends AvatarError {
  constructor(message: string, options?: ErrorOptions);
}
/** A model file cannot be read or drawn, or is not one of ours. */
export class ModelFileError extends AvatarError {}
/** An image cannot be shown or encoded here. */
export class OutputError extends AvatarError {}
