/** The file's address, with a bundler that copies files, such as esbuild's --loader:.onnx=file. */
declare const address: string;
export default address;
