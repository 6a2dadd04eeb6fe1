// Arrays of pixels become images: what avatar_runtime/imaging/arrays.py does, for canvas and Blob.

import { OutputError } from "./errors.js";

/** @typedef {import("./index.js").AvatarImage} AvatarImage */
/** @typedef {import("./index.js").ModelSpec} ModelSpec */

/**
 * A model's image as RGBA.
 * @param {Uint8Array | Float32Array} output [H, W, C] of uint8 or [C, H, W] of float32, as the metadata says.
 * @param {ModelSpec} spec
 * @returns {Uint8ClampedArray<ArrayBuffer>} [H, W, 4]
 */
export function toRGBA(output, { output: kind, channels, image_size: size, pixel_range: range }) {
  const area = size * size;
  const rgba = new Uint8ClampedArray(area * 4).fill(255);
  const level = kind === "uint8" ? (/** @type {number} */ value) => value : fromNetwork(range);
  for (let pixel = 0; pixel < area; pixel++) {
    for (let c = 0; c < 3; c++) {
      const channel = channels === 1 ? 0 : c;
      rgba[pixel * 4 + c] = level(output[kind === "uint8" ? pixel * channels + channel : channel * area + pixel]);
    }
  }
  return rgba;
}

/** Float32 arithmetic and halves to even, as in Python. @param {[number, number]} range */
function fromNetwork([low, high]) {
  const scale = Math.fround(255 / (high - low));
  return (/** @type {number} */ value) => {
    const level = Math.fround(Math.fround(value - low) * scale);
    const below = Math.floor(level);
    const rest = level - below;
    return rest > 0.5 || (rest === 0.5 && below % 2) ? below + 1 : below;
  };
}

/**
 * Draw an image on a canvas, by default a new one, which gets the image's size.
 * @template {HTMLCanvasElement | OffscreenCanvas} Canvas
 * @param {AvatarImage} image
 * @param {Canvas} canvas
 * @returns {Canvas}
 */
export function toCanvas(image, canvas = /** @type {Canvas} */ (newCanvas())) {
  canvas.width = image.width;
  canvas.height = image.height;
  const context = /** @type {CanvasRenderingContext2D | null} */ (canvas.getContext("2d"));
  if (!context) throw new OutputError("canvas", "this canvas gives no 2d context; it is in use for something else");
  context.putImageData(new ImageData(image.data, image.width, image.height), 0, 0);
  return canvas;
}

/**
 * The bytes of a picture file.
 * @param {AvatarImage} image
 * @param {string} [type] A MIME type that the browser can write.
 * @returns {Promise<Blob>}
 */
export async function toBlob(image, type = "image/png") {
  const canvas = toCanvas(image, newCanvas());
  const blob =
    "convertToBlob" in canvas
      ? await canvas.convertToBlob({ type })
      : await new Promise((resolve) => canvas.toBlob(resolve, type));
  if (!blob || blob.type !== type) throw new OutputError("format", `this browser cannot write ${type}`);
  return blob;
}

function newCanvas() {
  if (typeof document !== "undefined") return document.createElement("canvas");
  if (typeof OffscreenCanvas !== "undefined") return new OffscreenCanvas(1, 1);
  throw new OutputError("canvas", "there is no canvas outside a browser; encode image.data, RGBA, with a library");
}

/**
 * The pixels of a PNG file of 8 bits a channel, not interlaced, as golden checks hold them: [H, W, C].
 * A canvas would do it in a browser, but not in Node. PNG specification, sections 9.2 and 10.
 * @param {Uint8Array<ArrayBuffer>} png
 * @returns {Promise<Uint8Array>}
 */
export async function decodePNG(png) {
  const view = new DataView(png.buffer, png.byteOffset, png.length);
  const [width, height, channels] = [view.getUint32(16), view.getUint32(20), png[25] === 2 ? 3 : 1];
  const parts = [];
  for (let at = 8; at < png.length; at += view.getUint32(at) + 12) {
    const name = String.fromCharCode(...png.subarray(at + 4, at + 8));
    if (name === "IDAT") parts.push(png.subarray(at + 8, at + 8 + view.getUint32(at)));
  }
  const inflated = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  const data = new Uint8Array(await new Response(inflated).arrayBuffer());
  const stride = width * channels;
  const pixels = new Uint8Array(height * stride);
  for (let y = 0; y < height; y++) {
    const filter = data[y * (stride + 1)];
    for (let x = 0; x < stride; x++) {
      const at = y * stride + x;
      const a = x < channels ? 0 : pixels[at - channels];
      const b = y ? pixels[at - stride] : 0;
      const c = x < channels || !y ? 0 : pixels[at - stride - channels];
      pixels[at] = data[y * (stride + 1) + 1 + x] + [0, a, b, (a + b) >> 1, paeth(a, b, c)][filter];
    }
  }
  return pixels;
}

/** @param {number} a @param {number} b @param {number} c */
function paeth(a, b, c) {
  const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
  return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}
