// Faces as files: scaled and cut on a canvas, as PNG or GIF, one or many in a zip.

import { encodeGif } from "./gif.js";
import { toCanvas } from "../src/pixels.js";

/** @typedef {import("../src/index.js").AvatarImage} AvatarImage */
/** @typedef {{ size: number, round: boolean }} Look */

/** @param {AvatarImage} image @param {Look} look */
function scaled(image, { size, round }) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.imageSmoothingQuality = "high";
  if (round) {
    context.arc(size / 2, size / 2, size / 2, 0, 2 * Math.PI);
    context.clip();
  }
  context.drawImage(toCanvas(image, document.createElement("canvas")), 0, 0, size, size);
  return canvas;
}

/** @param {AvatarImage} image @param {Look} look @returns {Promise<Blob>} */
export function pngOf(image, look) {
  return new Promise((resolve, reject) =>
    scaled(image, look).toBlob((blob) => (blob ? resolve(blob) : reject(new Error("this browser cannot write a PNG file")))),
  );
}

/** There and back again. @param {AvatarImage[]} images @param {Look} look */
export async function gifOf(images, look) {
  const frames = images.map((image) => {
    const context = /** @type {CanvasRenderingContext2D} */ (scaled(image, look).getContext("2d"));
    return context.getImageData(0, 0, look.size, look.size).data;
  });
  return new Blob([await encodeGif([...frames, ...frames.slice(1, -1).reverse()], look.size, 60)], { type: "image/gif" });
}

/** @param {Blob} blob @param {string} name */
export function download(blob, name) {
  const anchor = document.createElement("a");
  anchor.href = URL.createObjectURL(blob);
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 10_000);
}

/** A name that every file system takes. @param {string} name */
export function fileName(name) {
  return name.replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^[.-]+/, "").slice(0, 60) || "avatar";
}

/**
 * A zip archive of stored files: APPNOTE.TXT 6.3, sections 4.3.7, 4.3.12 and 4.3.16. PNG would not get smaller.
 * @param {[string, Uint8Array<ArrayBuffer>][]} files
 */
export function zipOf(files) {
  const [parts, directory] = [/** @type {Uint8Array<ArrayBuffer>[]} */ ([]), /** @type {Uint8Array<ArrayBuffer>[]} */ ([])];
  let at = 0;
  for (const [name, data] of files) {
    const bytes = new TextEncoder().encode(name);
    const common = new DataView(new ArrayBuffer(26)); // what both kinds of header say
    common.setUint16(0, 20, true); // version that can read it
    common.setUint16(2, 0x800, true); // names are UTF-8
    common.setUint16(8, 0x21, true); // 1 January 1980
    common.setUint32(10, crc32(data), true);
    common.setUint32(14, data.length, true);
    common.setUint32(18, data.length, true);
    common.setUint16(22, bytes.length, true);
    const shared = new Uint8Array(common.buffer);
    parts.push(Uint8Array.of(0x50, 0x4b, 3, 4), shared, bytes, data);
    const tail = new DataView(new ArrayBuffer(14));
    tail.setUint32(10, at, true);
    directory.push(Uint8Array.of(0x50, 0x4b, 1, 2, 20, 0), shared, new Uint8Array(tail.buffer), bytes);
    at += 30 + bytes.length + data.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = new DataView(new ArrayBuffer(18));
  end.setUint16(4, files.length, true);
  end.setUint16(6, files.length, true);
  end.setUint32(8, size, true);
  end.setUint32(12, at, true);
  return new Blob([...parts, ...directory, Uint8Array.of(0x50, 0x4b, 5, 6), new Uint8Array(end.buffer)], { type: "application/zip" });
}

/** @param {Uint8Array} data */
function crc32(data) {
  let crc = -1;
  for (const byte of data) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return ~crc >>> 0;
}
