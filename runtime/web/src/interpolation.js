// From one latent to another along the great circle: avatar_runtime/interpolation.py in JavaScript, equal bit for bit.
// The method and why it takes no sine: there. T. White, "Sampling Generative Networks", 2016, section 2.1.

import { InputError } from "./errors.js";

const HALVINGS = 20;

/**
 * The latent at t between a and b: exactly a at 0 and b at 1.
 * @param {Float32Array} a @param {Float32Array} b @param {number} t From 0 to 1.
 */
export function slerp(a, b, t) {
  if (!(typeof t === "number" && t >= 0 && t <= 1)) {
    throw new InputError(`a position between two faces must be a number from 0 to 1, not ${String(t)}`);
  }
  const cosine = dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b) || 1);
  const [ofA, ofB] = weights(cosine, t);
  return a.map((value, i) => ofA * value + ofB * b[i]); // in double precision, rounded once
}

/** How much of a and how much of b is in the latent at t. @param {number} cosine @param {number} t */
function weights(cosine, t) {
  let [start, end] = [[1, 0], [0, 1]];
  for (let i = 0; i < HALVINGS; i++) {
    cosine = Math.sqrt(Math.max(0, 1 + cosine) / 2); // of half the angle
    if (cosine < 1e-6) break;
    const middle = [(start[0] + end[0]) / (2 * cosine), (start[1] + end[1]) / (2 * cosine)];
    if (t < 0.5) [end, t] = [middle, 2 * t];
    else [start, t] = [middle, 2 * t - 1];
  }
  return [(1 - t) * start[0] + t * end[0], (1 - t) * start[1] + t * end[1]];
}

/** @param {Float32Array} a @param {Float32Array} b */
function dot(a, b) {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}
