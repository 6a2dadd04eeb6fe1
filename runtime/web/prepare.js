// Makes what npm packs beside the sources: src/embedded.js, which avatar-serve makes for itself
// (avatar_runtime/web_sources.py); the model package's index.js and file; and the licences.
import { createHash } from "node:crypto";
import { cpSync, readFileSync, writeFileSync } from "node:fs";

import { modelId, readSpec } from "./src/spec.js";

const here = (/** @type {string} */ path) => new URL(path, import.meta.url);
const FILE = "model.onnx";

const id = JSON.parse(readFileSync(here("../avatar_runtime/models/models.json"), "utf8")).default;
const model = readFileSync(here(`../avatar_runtime/models/${id}.onnx`));
if (modelId(readSpec(model)) !== id) throw new Error(`${id}.onnx says that it is ${modelId(readSpec(model))}`);
writeFileSync(here(`model/${FILE}`), model);
writeFileSync(
  here("model/index.js"),
  `export default {
  id: ${JSON.stringify(id)},
  sha256: "${createHash("sha256").update(model).digest("hex")}",
  get url() {
    return new URL("./${FILE}", import.meta.url); // a literal: bundlers look for this very expression
  },
};
`,
);
for (const folder of ["./", "model/"]) cpSync(here("../../LICENSE"), here(`${folder}LICENSE`));

const engine = readFileSync(here("src/engine.js"), "utf8").replaceAll("export function", "function");
const constants = {
  WASM: readFileSync(here("../native/avatar.wasm")).toString("base64"),
  WORKER: `${engine}\nserveEngine(self);\n`,
};
const lines = Object.entries(constants).map(([name, value]) => `export const ${name} = ${JSON.stringify(value)};\n`);
writeFileSync(here("src/embedded.js"), `${lines.join("")}export { default as MODEL } from "avatar-runtime-web-model";\n`);
