// Animated GIF: GIF89a, and Heckbert, "Color image quantization for frame buffer display" (1982), median cut, for its
// colours: one palette for all frames, so that nothing flickers.

const TRANSPARENT = 255; // the last of 256 colours

/**
 * @param {Uint8ClampedArray[]} frames RGBA, square. @param {number} size @param {number} delay Milliseconds a frame.
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
export async function encodeGif(frames, size, delay) {
  const { palette, indexOf } = medianCut(frames);
  /** @type {number[]} */
  const out = [];
  const word = (/** @type {number} */ value) => out.push(value & 255, value >> 8);
  const text = (/** @type {string} */ value) => out.push(...new TextEncoder().encode(value));
  text("GIF89a");
  word(size);
  word(size);
  out.push(0xf7, TRANSPARENT, 0); // 256 colours for all frames
  for (let i = 0; i < 256; i++) out.push(...(palette[i] ?? [0, 0, 0]));
  out.push(0x21, 0xff, 11);
  text("NETSCAPE2.0");
  out.push(3, 1, 0, 0, 0); // for ever
  /** @type {Map<Uint8ClampedArray, number[]>} */
  const packed = new Map(); // a frame may come twice
  for (const frame of frames) {
    out.push(0x21, 0xf9, 4, 0x09); // clear what was there; one colour is transparent
    word(Math.round(delay / 10));
    out.push(TRANSPARENT, 0, 0x2c, 0, 0, 0, 0);
    word(size);
    word(size);
    out.push(0, 8);
    const data = packed.get(frame) ?? lzw(coloured(frame, indexOf));
    packed.set(frame, data);
    await new Promise((next) => setTimeout(next)); // the page has its turn
    for (let at = 0; at < data.length; at += 255) {
      const block = data.slice(at, at + 255);
      out.push(block.length, ...block);
    }
    out.push(0);
  }
  out.push(0x3b);
  return Uint8Array.from(out);
}

/** @param {Uint8ClampedArray} frame @param {Uint8Array} indexOf */
function coloured(frame, indexOf) {
  const pixels = new Uint8Array(frame.length / 4);
  for (let i = 0; i < pixels.length; i++) pixels[i] = frame[i * 4 + 3] < 128 ? TRANSPARENT : indexOf[bin(frame, i * 4)];
  return pixels;
}

/** Five bits of each colour. @param {Uint8ClampedArray} rgba @param {number} at */
function bin(rgba, at) {
  return ((rgba[at] >> 3) << 10) | ((rgba[at + 1] >> 3) << 5) | (rgba[at + 2] >> 3);
}

/** @param {Uint8ClampedArray[]} frames */
function medianCut(frames) {
  const counts = new Uint32Array(1 << 15);
  const sums = new Float64Array(3 << 15);
  for (const frame of frames) {
    for (let at = 0; at < frame.length; at += 4) {
      if (frame[at + 3] < 128) continue;
      const b = bin(frame, at);
      counts[b]++;
      for (let c = 0; c < 3; c++) sums[b * 3 + c] += frame[at + c];
    }
  }
  const channel = (/** @type {number} */ b, /** @type {number} */ c) => (b >> (10 - 5 * c)) & 31;
  let boxes = [Array.from(counts.keys()).filter((b) => counts[b])];
  const widest = (/** @type {number[]} */ box) => {
    const widths = [0, 1, 2].map((c) => Math.max(...box.map((b) => channel(b, c))) - Math.min(...box.map((b) => channel(b, c))));
    return widths.indexOf(Math.max(...widths));
  };
  while (boxes.length < TRANSPARENT) {
    const largest = boxes.filter((box) => box.length > 1).sort((a, b) => weight(b) - weight(a))[0];
    if (!largest) break;
    const c = widest(largest);
    largest.sort((a, b) => channel(a, c) - channel(b, c));
    let [half, cut] = [weight(largest) / 2, 0];
    while (cut < largest.length - 2 && half > 0) half -= counts[largest[cut++]];
    boxes = boxes.filter((box) => box !== largest).concat([largest.slice(0, Math.max(1, cut)), largest.slice(Math.max(1, cut))]);
  }
  /** @param {number[]} box */
  function weight(box) {
    return box.reduce((sum, b) => sum + counts[b], 0);
  }
  const indexOf = new Uint8Array(1 << 15);
  const palette = boxes.map((box, i) => {
    for (const b of box) indexOf[b] = i;
    return [0, 1, 2].map((c) => Math.round(box.reduce((sum, b) => sum + sums[b * 3 + c], 0) / (weight(box) || 1)));
  });
  return { palette, indexOf };
}

/** Variable-length codes of 9 to 12 bits: GIF89a, appendix F. @param {Uint8Array} pixels */
function lzw(pixels) {
  /** @type {number[]} */
  const out = [];
  let [bits, held] = [0, 0];
  const emit = (/** @type {number} */ code, /** @type {number} */ width) => {
    bits |= code << held;
    for (held += width; held >= 8; held -= 8, bits >>>= 8) out.push(bits & 255);
  };
  const [clear, end] = [256, 257];
  let table = new Map();
  let [width, next] = [9, 258];
  emit(clear, width);
  let prefix = pixels[0];
  for (const pixel of pixels.subarray(1)) {
    const key = (prefix << 8) | pixel;
    const known = table.get(key);
    if (known !== undefined) {
      prefix = known;
      continue;
    }
    emit(prefix, width);
    table.set(key, next);
    if (next++ === 1 << width) width++;
    if (next > 4096) {
      emit(clear, 12);
      [table, width, next] = [new Map(), 9, 258];
    }
    prefix = pixel;
  }
  emit(prefix, width);
  emit(end, width);
  if (held) out.push(bits & 255);
  return out;
}
