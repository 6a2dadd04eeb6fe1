// A name becomes a latent vector: avatar_runtime/latents.py in JavaScript, equal bit for bit.
//
// Only +, -, *, / and sqrt on doubles, which every engine rounds correctly; Math.log may differ in its last bit.
// The inverse normal: M. J. Wichura, "Algorithm AS 241", Applied Statistics 37 (1988), PPND16. The logarithm: fdlibm.

import { InputError } from "./errors.js";
import { sha256 } from "./sha256.js";

export const SCHEME = "avatar-edge-latent-1";

const WORDS_PER_BLOCK = 8;

// Highest power first: A/B for |p - 0.5| <= 0.425, C/D for the tails.
// prettier-ignore
const A = [2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
  1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0];
// prettier-ignore
const B = [5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
  5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1];
// prettier-ignore
const C = [7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
  3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0];
// prettier-ignore
const D = [1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
  6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1];
// log((1 + s) / (1 - s)), highest power first, and ln 2 in two parts.
// prettier-ignore
const LOG = [1.479819860511658591e-1, 1.531383769920937332e-1, 1.818357216161805012e-1, 2.222219843214978396e-1,
  2.857142874366239149e-1, 3.999999999940941908e-1, 6.666666666666735130e-1];
const [LN2_HIGH, LN2_LOW] = [6.93147180369123816490e-1, 1.90821492927058770002e-10];
const SQRT_HALF = 0.7071067811865476;

/** The latent vector of a name: standard normal numbers. @param {string} name @param {number} latentDim */
export function latent(name, latentDim) {
  if (typeof name !== "string") {
    throw new InputError(`a name must be a string, not ${String(name)}; for numbered avatars give a count and a seed`);
  }
  const prefix = new TextEncoder().encode(`${SCHEME}\0${name.normalize("NFC")}\0`); // lone surrogates become U+FFFD
  const message = new Uint8Array(prefix.length + 4);
  message.set(prefix);
  const counter = new DataView(message.buffer, prefix.length);
  const z = new Float32Array(latentDim);
  for (let i = 0; i < latentDim; i += WORDS_PER_BLOCK) {
    counter.setUint32(0, i / WORDS_PER_BLOCK);
    const words = sha256(message);
    for (let j = 0; j < WORDS_PER_BLOCK && i + j < latentDim; j++) z[i + j] = standardNormal(words[j]);
  }
  return z;
}

/** The names of a series: "S/0", "S/1", … for seed S. @param {string | number} seed @param {number} count */
export function series(seed, count) {
  if (typeof seed !== "string" && !Number.isInteger(seed)) {
    throw new InputError(`a seed must be text or a whole number, not ${String(seed)}`);
  }
  return Array.from({ length: count }, (_, i) => `${seed}/${i}`);
}

/** z scaled by truncation, from 0 to 2. @param {Float32Array} z @param {number} truncation */
export function truncate(z, truncation) {
  if (!(typeof truncation === "number" && truncation >= 0 && truncation <= 2)) {
    throw new InputError(`truncation must be a finite number from 0 to 2, not ${String(truncation)}`);
  }
  return truncation === 1 ? z : z.map((value) => value * Math.fround(truncation)); // exact in double, rounded once
}

/** @param {number} word A uniform uint32. */
function standardNormal(word) {
  const p = (word + 0.5) / 2 ** 32;
  const q = p - 0.5;
  if (Math.abs(q) <= 0.425) {
    const r = 0.180625 - q * q;
    return (q * polynomial(A, r)) / polynomial(B, r);
  }
  const r = Math.sqrt(-log(q < 0 ? p : 1 - p)) - 1.6;
  const z = polynomial(C, r) / polynomial(D, r);
  return q < 0 ? -z : z;
}

/** @param {number[]} coefficients @param {number} x */
function polynomial(coefficients, x) {
  return coefficients.reduce((value, coefficient) => value * x + coefficient);
}

/** @param {number} x Positive and normal. */
function log(x) {
  let [mantissa, exponent] = frexp(x);
  if (mantissa < SQRT_HALF) [mantissa, exponent] = [mantissa * 2, exponent - 1];
  const f = mantissa - 1;
  const s = f / (2 + f);
  const s2 = s * s;
  const half = 0.5 * f * f;
  return exponent * LN2_HIGH - (half - (s * (half + s2 * polynomial(LOG, s2)) + exponent * LN2_LOW) - f);
}

const bits = new DataView(new ArrayBuffer(8));

/** @param {number} x @returns {[number, number]} m from 0.5 to 1 and e with x = m 2^e. */
function frexp(x) {
  bits.setFloat64(0, x);
  const high = bits.getUint32(0);
  bits.setUint32(0, (high & 0x800fffff) | (1022 << 20));
  return [bits.getFloat64(0), ((high >>> 20) & 0x7ff) - 1022];
}
