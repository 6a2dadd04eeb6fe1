/** The model that avatar-runtime-web draws with unless another is given. */
declare const model: {
  /** Its name and version, such as "anime-faces-128@1": the same id and name give the same face for ever. */
  readonly id: string;
  /** In hexadecimal. */
  readonly sha256: string;
  /** Of the .onnx file; read it only where a file of a package can be reached. */
  readonly url: URL;
};
export default model;
