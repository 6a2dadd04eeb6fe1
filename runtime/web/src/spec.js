// The metadata inside a model file: avatar_runtime/model_file/metadata.py in JavaScript.

import { ModelFileError, reasonOf } from "./errors.js";
import { SCHEME } from "./latents.js";

const FORMAT_VERSION = 1;
const KEY = "avatar-edge";

/** @typedef {import("./index.js").ModelSpec} ModelSpec */

/**
 * The metadata in an ONNX file, read from the bytes: the same sentences for the engine and for onnxruntime-web.
 * @param {Uint8Array} model
 * @returns {ModelSpec}
 */
export function readSpec(model) {
  if (!model.length) throw new ModelFileError("not-a-model", "the file is empty");
  const text = metadata(model).get(KEY);
  if (text === undefined) {
    const found = "it is an ONNX model, but not one of avatar-edge: it carries no metadata of ours";
    throw new ModelFileError("not-ours", `${found}; make one from a checkpoint with avatar-export`);
  }
  let spec;
  try {
    spec = JSON.parse(text);
    if (spec.format_version <= FORMAT_VERSION && isGenerator(spec)) validate(spec);
  } catch (error) {
    const message = `its avatar-edge metadata is damaged (${reasonOf(error)}); export the model again`;
    throw new ModelFileError("damaged", message, { cause: error });
  }
  if (spec.format_version > FORMAT_VERSION) {
    const found = `it is an avatar-edge model of format ${spec.format_version}, newer than this version reads`;
    throw new ModelFileError("newer", `${found} (${FORMAT_VERSION}); upgrade with: npm install avatar-runtime-web@latest`);
  }
  if (!isGenerator(spec)) {
    throw new ModelFileError("not-ours", `it is a ${spec.kind} of avatar-edge, where a generator is needed`);
  }
  if (spec.latent_scheme !== SCHEME) {
    const found = `it turns names into faces by the scheme '${spec.latent_scheme}', and this version by '${SCHEME}'`;
    throw new ModelFileError("newer", `${found}; use the avatar-runtime-web version that it was made for`);
  }
  return spec;
}

/** Name and version. @param {ModelSpec} spec */
export function modelId({ name, version = 1 }) {
  return `${name}@${version}`;
}

/** @param {Record<string, any>} spec */
function isGenerator({ kind = "generator" }) {
  return kind === "generator";
}

/** @param {Record<string, any>} spec */
function validate(spec) {
  const range = spec.pixel_range;
  const checks = {
    latent_dim: isCount(spec.latent_dim, 65536),
    image_size: isCount(spec.image_size, 4096),
    channels: spec.channels === 1 || spec.channels === 3,
    output: spec.output === "uint8" || spec.output === "float32",
    pixel_range: Array.isArray(range) && range[1] === 1 && (range[0] === -1 || range[0] === 0),
    format_version: isCount(spec.format_version),
    version: isCount(spec.version ?? 1, 999_999),
  };
  for (const [name, allowed] of Object.entries(checks)) {
    if (!allowed) throw new TypeError(`${name} is ${JSON.stringify(spec[name])}`);
  }
}

/** @param {unknown} value @param {number} [most] As avatar_runtime allows. */
function isCount(value, most = Infinity) {
  return Number.isInteger(value) && Number(value) > 0 && Number(value) <= most;
}

const METADATA_PROPS = 14; // ModelProto.metadata_props in onnx.proto, each with key = 1 and value = 2

/** @param {Uint8Array} model @returns {Map<string, string>} */
function metadata(model) {
  const found = new Map();
  const text = new TextDecoder();
  try {
    for (const [number, entry] of fields(model)) {
      if (number !== METADATA_PROPS) continue;
      const pair = new Map(fields(entry));
      found.set(text.decode(pair.get(1)), text.decode(pair.get(2)));
    }
  } catch (error) {
    throw new ModelFileError("not-a-model", "it is not an ONNX model", { cause: error });
  }
  return found;
}

/**
 * The length-delimited fields of a protobuf message; the others are passed over.
 * @param {Uint8Array} message
 * @returns {Generator<[number, Uint8Array]>}
 */
function* fields(message) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (at >= message.length) throw new RangeError("cut short");
      const byte = message[at++];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError("a number too long");
  };
  while (at < message.length) {
    const tag = varint();
    const kind = tag & 7;
    if (kind === 2) {
      const length = varint();
      if (at + length > message.length) throw new RangeError("cut short");
      yield [Math.floor(tag / 8), message.subarray(at, (at += length))];
    } else if (kind === 0) varint();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else throw new RangeError("no such field");
  }
}
