// <avatar-face name="alice" size="96">: an avatar wherever an image could be. Importing this file defines the element;
// on a server, and beside another copy of this package, it does nothing.
//
// Attributes, also properties: name; size, a number of CSS pixels or any CSS length (96); truncation (1); model, a file's
// address (the packaged one); alt ("Avatar of NAME", empty for decoration). A face is drawn when it comes near the
// screen, once for a page. Events: load, and error, with its reason as detail.

import { wantFace } from "./faces.js";
import { AvatarGenerator } from "./generator.js";
import { toCanvas } from "./pixels.js";

const TAG = "avatar-face";
const NEAR = "200px";
const STYLE = `
  :host {
    display: inline-block; inline-size: 96px; aspect-ratio: 1; vertical-align: middle; overflow: hidden;
    border-radius: var(--avatar-radius, 0); background: var(--avatar-background, none); print-color-adjust: exact;
  }
  :host([hidden]) { display: none }
  canvas, span { display: block; inline-size: 100%; block-size: 100% }
  span { display: grid; place-items: center; container-type: inline-size; background: var(--avatar-placeholder, #8883) }
  b { font: 600 50cqi/1 system-ui, sans-serif }
  .loading { animation: shimmer 1.6s ease-in-out infinite alternate }
  @keyframes shimmer { from { opacity: 1 } to { opacity: .45 } }
  @media (prefers-reduced-motion: reduce), print { .loading { animation: none } }
  @media (forced-colors: active) { span { outline: 1px solid CanvasText; outline-offset: -1px } }
`;

/** @type {Map<string | undefined, Promise<AvatarGenerator>>} */
const generators = new Map();

const Base = /** @type {typeof HTMLElement} */ (globalThis.HTMLElement ?? class {});

class Face extends Base {
  static observedAttributes = ["name", "size", "truncation", "model", "alt"];

  /** How models are opened, and which one without the attribute: set before the first face. @type {import("./element.js").FaceOptions} */
  static options = {};

  /** The generator that draws the faces of a model, by default the packaged one. @param {string} [model] */
  static generator(model) {
    const known = generators.get(model);
    if (known) return known;
    const { model: usual, sha256, ...options } = Face.options;
    const generator =
      model === undefined
        ? AvatarGenerator.load(usual, { ...options, sha256 })
        : AvatarGenerator.load(new URL(model, document.baseURI), options);
    generators.set(model, generator);
    generator.catch(() => generators.delete(model)); // so that it may be tried again
    return generator;
  }

  internals = this.attachInternals();
  root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
  near = false;
  styled = false;
  /** What is shown or on its way. */
  wanted = "";
  state = /** @type {"" | "loading" | "shown" | "failed"} */ ("");
  release = /** @type {(() => void) | undefined} */ (undefined);

  connectedCallback() {
    for (const property of Face.observedAttributes) adopt(this, property);
    if (!this.styled) this.dress();
    this.describe();
    observer().observe(this);
  }

  disconnectedCallback() {
    observer().unobserve(this);
    this.leave();
  }

  adoptedCallback() {
    this.styled = false; // style sheets stay with their document
  }

  /** @param {string} attribute */
  attributeChangedCallback(attribute) {
    if (!this.isConnected) return;
    if (attribute === "size") this.dress();
    this.describe();
    if (this.near) this.update();
  }

  /** The name, or null: then the box is empty. */
  get name() {
    return this.getAttribute("name");
  }

  set name(value) {
    reflect(this, "name", value);
  }

  get size() {
    return this.getAttribute("size");
  }

  set size(value) {
    reflect(this, "size", value);
  }

  get truncation() {
    return Number(this.getAttribute("truncation") ?? 1);
  }

  set truncation(value) {
    reflect(this, "truncation", value);
  }

  get model() {
    return this.getAttribute("model");
  }

  set model(value) {
    reflect(this, "model", value);
  }

  get alt() {
    return this.getAttribute("alt");
  }

  set alt(value) {
    reflect(this, "alt", value);
  }

  /** Whether the face is there. */
  get complete() {
    return this.state === "shown" || this.name === null;
  }

  /** Draw again, after an error. */
  reload() {
    if (this.state === "shown") return;
    this.leave();
    this.near = true;
    this.update();
  }

  /** It came near the screen. */
  approach() {
    this.near = true;
    if (this.state === "failed") this.state = this.wanted = "";
    this.update();
  }

  /** It left the screen, or the page: others come first. */
  leave() {
    this.near = false;
    this.release?.();
    this.release = undefined;
    if (this.state !== "shown") this.state = this.wanted = "";
  }

  /** Draw what the attributes say, unless it is there already. */
  async update() {
    const { name, truncation } = this;
    const model = this.model ?? undefined;
    const wanted = name === null ? "" : JSON.stringify([name, truncation, model]);
    if (wanted === this.wanted) return;
    this.wanted = wanted;
    this.release?.();
    this.release = undefined;
    if (name === null) {
      this.state = "";
      this.root.replaceChildren();
      return;
    }
    if (this.state !== "shown") this.root.replaceChildren(placeholder(this.ownerDocument, "loading"));
    this.state = "loading";
    const { image, release } = wantFace(wanted, (signal) => drawFace(name, truncation, model, signal));
    this.release = release;
    try {
      const drawn = await image;
      if (this.wanted !== wanted) return; // the attributes have changed meanwhile
      const canvas = toCanvas(drawn, this.ownerDocument.createElement("canvas"));
      canvas.part.add("image");
      this.root.replaceChildren(canvas);
      this.state = "shown";
      this.dispatchEvent(new Event("load"));
    } catch (error) {
      if (this.wanted !== wanted) return;
      this.root.replaceChildren(placeholder(this.ownerDocument, "failed", initial(name)));
      this.state = "failed";
      this.dispatchEvent(new CustomEvent("error", { detail: error }));
    }
  }

  /** Role and label. */
  describe() {
    const { name, alt } = this;
    const silent = name === null || alt === "";
    this.internals.role = silent ? "none" : "img";
    this.internals.ariaHidden = silent ? "true" : null;
    this.internals.ariaLabel = silent ? null : (alt ?? `Avatar of ${name}`);
  }

  /** Style sheets made by script are allowed by a strict Content-Security-Policy, where style attributes are not. */
  dress() {
    const view = this.ownerDocument.defaultView;
    if (!view) return;
    const size = this.size?.trim() ?? "";
    const length = /^\d*\.?\d+$/.test(size) ? `${size}px` : size;
    const sheets = [commonStyle(view)];
    if (length && view.CSS.supports("inline-size", length)) {
      const own = new view.CSSStyleSheet();
      own.replaceSync(`:host { inline-size: ${length} }`);
      sheets.push(own);
    }
    this.root.adoptedStyleSheets = sheets;
    this.styled = true;
  }
}

/** A property that was set before the element was defined hides the one of the class. @param {any} element @param {string} property */
function adopt(element, property) {
  if (!Object.hasOwn(element, property)) return;
  const value = element[property];
  delete element[property];
  element[property] = value;
}

/** @param {Element} element @param {string} attribute @param {unknown} value */
function reflect(element, attribute, value) {
  if (value === null || value === undefined) element.removeAttribute(attribute);
  else element.setAttribute(attribute, String(value));
}

/** @param {string} name @param {number} truncation @param {string | undefined} model @param {AbortSignal} signal */
async function drawFace(name, truncation, model, signal) {
  const generator = await Face.generator(model);
  return generator.mix(name, name, 0, { truncation, signal, priority: "high" });
}

/** @param {Document} document @param {string} kind @param {string} [text] */
function placeholder(document, kind, text) {
  const box = document.createElement("span");
  box.className = kind;
  box.part.add("placeholder");
  if (text) {
    const letter = document.createElement("b");
    letter.textContent = text;
    letter.dir = "auto";
    box.append(letter);
  }
  return box;
}

/** What a person would call the first letter. @param {string} name */
function initial(name) {
  const [first] = new Intl.Segmenter().segment(name.trim());
  return first?.segment.toUpperCase() ?? "?";
}

/** @type {WeakMap<Window, CSSStyleSheet>} */
const styles = new WeakMap();

/** @param {Window & typeof globalThis} view */
function commonStyle(view) {
  const known = styles.get(view);
  if (known) return known;
  const sheet = new view.CSSStyleSheet();
  sheet.replaceSync(STYLE);
  styles.set(view, sheet);
  return sheet;
}

/** @type {IntersectionObserver | undefined} */
let onScreen;

function observer() {
  onScreen ??= new IntersectionObserver(
    (entries) => {
      // A busy page tells of several changes of one face at once: the last one holds.
      const latest = [...new Map(entries.map((entry) => [entry.target, entry])).values()];
      const [far, near] = [false, true].map((isNear) => latest.filter((entry) => entry.isIntersecting === isNear));
      for (const { target } of far) /** @type {Face} */ (target).leave();
      for (const { target } of near.sort((a, b) => distance(a) - distance(b))) /** @type {Face} */ (target).approach();
    },
    { rootMargin: NEAR },
  );
  return onScreen;
}

/** 0 on the screen, 1 near it: those on it are drawn first. @param {IntersectionObserverEntry} entry */
function distance({ boundingClientRect: { top, bottom } }) {
  return bottom > 0 && top < innerHeight ? 0 : 1;
}

const known = globalThis.customElements?.get(TAG);
if (globalThis.customElements && !known) customElements.define(TAG, Face);

/** The class of the element, of whichever copy of this package came first. */
export const AvatarFace = /** @type {typeof Face} */ (known ?? Face);
