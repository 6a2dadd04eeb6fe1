// What can go wrong, as one family. A message says what is wrong and what to do; a code is the same in every version.
// Names are written out: a minifier renames classes.

/** @typedef {import("./index.js").ErrorCode} ErrorCode */

/** @param {unknown} error */
export function reasonOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/** Anything that this package refuses or cannot do. */
export class AvatarError extends Error {
  /** @param {ErrorCode} code @param {string} message @param {ErrorOptions} [options] */
  constructor(code, message, options) {
    super(message, options);
    this.code = code;
  }

  get name() {
    return "AvatarError";
  }
}

/** An argument is out of range or of the wrong type. */
export class InputError extends AvatarError {
  /** @param {string} message @param {ErrorOptions} [options] */
  constructor(message, options) {
    super("argument", message, options);
  }

  get name() {
    return "InputError";
  }
}

/** A model file cannot be read, or is not one of ours. */
export class ModelFileError extends AvatarError {
  get name() {
    return "ModelFileError";
  }
}

/** An image cannot be shown or encoded here. */
export class OutputError extends AvatarError {
  get name() {
    return "OutputError";
  }
}
