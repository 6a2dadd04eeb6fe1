// <avatar-face name="alice" size="96">: an avatar wherever an image could be. Importing this file defines the element.
//
// Attributes: name; size in CSS pixels (96); truncation (1); model, a file's address (the embedded one); alt ("Avatar of
// NAME"). A face is drawn when it comes near the screen, once for a page. Events: load, and error, with its reason as
// detail; what cannot be drawn shows the name's first letter.

import { AvatarGenerator } from "./generator.js";
import { toCanvas } from "./pixels.js";

/** @typedef {import("./index.js").AvatarImage} AvatarImage */

const CACHED = 512; // images of 16 KB

const style = new CSSStyleSheet(); // allowed by a strict Content-Security-Policy, where a style attribute is not
style.replaceSync(`
  :host { display: inline-block; inline-size: 96px; aspect-ratio: 1; vertical-align: middle; overflow: hidden }
  :host([hidden]) { display: none }
  canvas { display: block; inline-size: 100%; block-size: 100% }
  span { display: grid; place-items: center; block-size: 100%; container-type: inline-size; background: #8884; color: inherit }
  b { font: 600 50cqi/1 system-ui, sans-serif }
`);

export class AvatarFace extends HTMLElement {
  static observedAttributes = ["name", "size", "truncation", "model", "alt"];

  /** How models are opened: set before the first face. @type {import("./index.js").LoadOptions} */
  static options = {};

  /** The generator that draws the faces of a model, by default the embedded one. @param {string} [model] */
  static generator(model) {
    const known = generators.get(model);
    if (known) return known;
    const address = model === undefined ? undefined : new URL(model, document.baseURI);
    const generator = AvatarGenerator.load(address, AvatarFace.options);
    generators.set(model, generator);
    generator.catch(() => generators.delete(model)); // so that it may be tried again
    return generator;
  }

  constructor() {
    super();
    this.internals = this.attachInternals();
    this.internals.role = "img";
    this.root = this.attachShadow({ mode: "open" });
    this.sheet = new CSSStyleSheet();
    this.root.adoptedStyleSheets = [style, this.sheet];
    this.near = false;
    this.shown = "";
  }

  connectedCallback() {
    onScreen.observe(this);
  }

  disconnectedCallback() {
    onScreen.unobserve(this);
    this.near = false;
  }

  attributeChangedCallback() {
    const size = Number(this.getAttribute("size") ?? 96);
    this.sheet.replaceSync(size > 0 && size < 1e5 ? `:host { inline-size: ${size}px }` : "");
    this.internals.ariaLabel = this.getAttribute("alt") ?? `Avatar of ${this.name}`;
    if (this.near) this.update();
  }

  get name() {
    return this.getAttribute("name") ?? "";
  }

  set name(value) {
    this.setAttribute("name", value);
  }

  /** Draw what the attributes say, unless it is there already. */
  async update() {
    const { name } = this;
    const truncation = Number(this.getAttribute("truncation") ?? 1);
    const model = this.getAttribute("model") ?? undefined;
    const wanted = JSON.stringify([name, truncation, model]);
    if (wanted === this.shown) return;
    this.shown = wanted;
    try {
      const image = await face(wanted, name, truncation, model);
      if (this.shown !== wanted) return; // the attributes have changed meanwhile
      this.root.replaceChildren(toCanvas(image, document.createElement("canvas")));
      this.dispatchEvent(new Event("load"));
    } catch (error) {
      if (this.shown !== wanted) return;
      const [letter, box] = [document.createElement("b"), document.createElement("span")];
      letter.textContent = [...name][0]?.toUpperCase() ?? "?";
      box.append(letter);
      this.root.replaceChildren(box);
      this.dispatchEvent(new CustomEvent("error", { detail: error }));
    }
  }
}

const onScreen = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      const element = /** @type {AvatarFace} */ (target);
      element.near = isIntersecting;
      if (isIntersecting) element.update();
    }
  },
  { rootMargin: "200px" },
);

/** @type {Map<string, Promise<AvatarImage>>} Least recently used first. */
const faces = new Map();

/** @type {Map<string | undefined, Promise<AvatarGenerator>>} */
const generators = new Map();

/** @typedef {{ name: string, resolve: (image: AvatarImage) => void, reject: (error: unknown) => void }} Request */
/** @type {Map<string, Request[]>} Faces asked for in this turn of the event loop, by model and truncation. */
const queue = new Map();

/** @param {string} key @param {string} name @param {number} truncation @param {string} [model] */
function face(key, name, truncation, model) {
  const found = faces.get(key) ?? request(name, truncation, model);
  faces.delete(key);
  faces.set(key, found);
  found.catch(() => faces.delete(key));
  if (faces.size > CACHED) faces.delete(/** @type {string} */ (faces.keys().next().value));
  return found;
}

/**
 * A whole wall of faces becomes one call.
 * @param {string} name @param {number} truncation @param {string} [model] @returns {Promise<AvatarImage>}
 */
function request(name, truncation, model) {
  return new Promise((resolve, reject) => {
    const batch = JSON.stringify([truncation, model]);
    const requests = queue.get(batch) ?? [];
    requests.push({ name, resolve, reject });
    if (requests.length > 1) return;
    queue.set(batch, requests);
    setTimeout(async () => {
      queue.delete(batch);
      try {
        const generator = await AvatarFace.generator(model);
        let done = 0;
        for await (const part of generator.stream(requests.map((r) => r.name), { truncation })) {
          for (const image of part) requests[done++].resolve(image);
        }
      } catch (error) {
        for (const r of requests) r.reject(error);
      }
    });
  });
}

customElements.define("avatar-face", AvatarFace);
