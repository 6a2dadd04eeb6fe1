// What can go wrong, as one family. A message says what is wrong and what to do.

/** Anything that this package refuses or cannot do. */
export class AvatarError extends Error {
  /** @param {string} message @param {ErrorOptions} [options] */
  constructor(message, options) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** An argument is out of range or of the wrong type. */
export class InputError extends AvatarError {}

/** A model file cannot be read, or is not one of ours. */
export class ModelFileError extends AvatarError {}

/** An image cannot be shown or encoded here. */
export class OutputError extends AvatarError {}
