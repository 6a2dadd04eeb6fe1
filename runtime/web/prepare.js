// Makes src/embedded.js, which avatar-serve makes for itself (avatar_runtime/web_sources.py), and puts beside it what npm
// packs: the embedded model of the Python package, where generator.js looks for it, and the licence.
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";

const here = (/** @type {string} */ path) => new URL(path, import.meta.url);

mkdirSync(here("models/"), { recursive: true });
const id = JSON.parse(readFileSync(here("../avatar_runtime/models/models.json"), "utf8")).default;
cpSync(here(`../avatar_runtime/models/${id}.onnx`), here("models/anime-faces-64.onnx"));
cpSync(here("../../LICENSE"), here("LICENSE"));

const engine = readFileSync(here("src/engine.js"), "utf8").replaceAll("export function", "function");
const digest = createHash("sha256").update(readFileSync(here("models/anime-faces-64.onnx"))).digest("hex");
const constants = {
  WASM: readFileSync(here("../native/avatar.wasm")).toString("base64"),
  WORKER: `${engine}\nserveEngine(self);\n`,
  MODEL_SHA256: digest,
};
const lines = Object.entries(constants).map(([name, value]) => `export const ${name} = ${JSON.stringify(value)};\n`);
writeFileSync(here("src/embedded.js"), lines.join(""));
