// The demo page: a name becomes a face as it is typed.

import { AvatarFace } from "../src/element.js";
import { toBlob, toCanvas } from "../src/pixels.js";

/** @template {HTMLElement} T @param {string} id @returns {T} */
const $ = (id) => /** @type {T} */ (document.getElementById(id));

const name = /** @type {HTMLInputElement} */ ($("name"));
const other = /** @type {HTMLInputElement} */ ($("other"));
const mix = /** @type {HTMLInputElement} */ ($("mix"));
const truncation = /** @type {HTMLInputElement} */ ($("truncation"));
const canvas = /** @type {HTMLCanvasElement} */ ($("face"));
const status = $("status");

/** @type {string | undefined} */
let model;
/** @type {import("../src/index.js").AvatarImage | undefined} */
let image;
let drawing = false;
let stale = false;

/** Draws what the controls say; while one drawing is under way, only the latest wish is kept. */
async function draw() {
  for (const slider of [mix, truncation]) {
    const value = Number(slider.value);
    const text = slider === mix ? `${Math.round(value * 100)} %` : value.toFixed(2);
    /** @type {HTMLOutputElement} */ (slider.nextElementSibling).value = text;
  }
  mix.disabled = !other.value;
  stale = true;
  if (drawing) return;
  drawing = true;
  canvas.ariaBusy = "true";
  try {
    const generator = await AvatarFace.generator(model);
    while (stale) {
      stale = false;
      const options = { truncation: Number(truncation.value) };
      const t = other.value ? Number(mix.value) : 0;
      image = await generator.mix(name.value, other.value, t, options);
      toCanvas(image, canvas);
      canvas.ariaLabel = t ? `Avatar between ${name.value} and ${other.value}` : `Avatar of ${name.value || "the empty name"}`;
    }
    say("");
  } catch (error) {
    say(error instanceof Error ? error.message : String(error), true);
  } finally {
    drawing = false;
    canvas.ariaBusy = "false";
  }
}

/** @param {string} text @param {boolean} [failed] */
function say(text, failed = false) {
  status.textContent = text;
  status.classList.toggle("failed", failed);
}

function fromLink() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  name.value = wanted.get("name") ?? name.value;
  other.value = wanted.get("to") ?? "";
  mix.value = wanted.get("mix") ?? "0";
  truncation.value = wanted.get("truncation") ?? "1";
  draw();
}

function link() {
  const parts = new URLSearchParams({ name: name.value });
  if (other.value) {
    parts.set("to", other.value);
    parts.set("mix", mix.value);
  }
  if (truncation.value !== "1") parts.set("truncation", truncation.value);
  return `#${parts}`;
}

function newWall() {
  const series = crypto.getRandomValues(new Uint32Array(1))[0].toString(36);
  const tiles = Array.from({ length: 64 }, (_, i) => {
    const tile = document.createElement("button");
    const face = new AvatarFace();
    face.name = tile.title = `${series}/${i}`;
    if (model) face.setAttribute("model", model);
    tile.type = "button";
    tile.append(face);
    tile.addEventListener("click", () => {
      name.value = face.name;
      mix.value = "0";
      changed();
      window.scrollTo({ top: 0, behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    });
    return tile;
  });
  $("wall").replaceChildren(...tiles);
}

function changed() {
  history.replaceState(null, "", link());
  draw();
}

$("controls").addEventListener("input", changed);
$("controls").addEventListener("submit", (event) => event.preventDefault());
$("again").addEventListener("click", newWall);
addEventListener("hashchange", fromLink);

$("save").addEventListener("click", async () => {
  if (!image) return;
  const anchor = document.createElement("a");
  anchor.href = URL.createObjectURL(await toBlob(image));
  anchor.download = `${(name.value || "avatar").replace(/[^\p{L}\p{N}._-]+/gu, "-").slice(0, 60)}.png`;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 1000);
});

$("share").addEventListener("click", async () => {
  history.replaceState(null, "", link());
  try {
    await navigator.clipboard.writeText(location.href);
    say("The link is copied.");
  } catch {
    say("Copy the link from the address bar.");
  }
});

/** Lets sw.js keep what the page has loaded and, from then on, all that it loads. */
async function keepForOffline() {
  if (!location.protocol.startsWith("http") || !("serviceWorker" in navigator)) return;
  await navigator.serviceWorker.register(new URL("../sw.js", import.meta.url));
  await navigator.serviceWorker.ready;
  const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
  await (await caches.open("avatar-edge")).addAll([location.pathname, ...loaded.filter((url) => url.startsWith(location.origin))]);
}

/**
 * Bring the page to life.
 * @param {string} [address] Of the model, by default the embedded one.
 * @param {import("../src/index.js").LoadOptions} [options]
 */
export async function start(address, options = {}) {
  model = address;
  AvatarFace.options = options;
  // The model comes after the service worker, which then sees it, but does not wait for it for long.
  await Promise.race([keepForOffline().catch(() => {}), new Promise((done) => setTimeout(done, 1000))]);
  fromLink();
  newWall();
}
