// Puts the embedded model of the Python package where index.js looks for it and npm packs it, and the licence beside it.
import { cpSync, mkdirSync } from "node:fs";

const models = new URL("models/", import.meta.url);
mkdirSync(models, { recursive: true });
cpSync(new URL("../avatar_runtime/models/anime-faces-64.onnx", import.meta.url), new URL("anime-faces-64.onnx", models));
cpSync(new URL("../../LICENSE", import.meta.url), new URL("LICENSE", import.meta.url));
