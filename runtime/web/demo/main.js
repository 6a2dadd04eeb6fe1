// What index.html runs: the addresses are in its script tag.

import { start } from "./demo.js";

const { model, ort } = /** @type {HTMLElement} */ (document.querySelector("script[data-ort]")).dataset;
await start(model, { ort: ort && new URL(ort, document.baseURI) });
