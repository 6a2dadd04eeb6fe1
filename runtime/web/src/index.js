// The same name gives the same face as in Python.

export { AvatarGenerator } from "./generator.js";
export { AvatarError, InputError, ModelFileError, OutputError } from "./errors.js";
export { slerp } from "./interpolation.js";
export { SCHEME, latent, series, truncate } from "./latents.js";
export { toBlob, toCanvas } from "./pixels.js";
