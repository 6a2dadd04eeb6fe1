// The page: a name becomes a face as it is typed, two names a blend; all of it is in the link.

import { AvatarFace } from "../src/element.js";
import { reasonOf } from "../src/errors.js";
import { toCanvas } from "../src/pixels.js";
import { randomName } from "./names.js";
import { download, fileName, gifOf, pngOf } from "./pictures.js";
import { prepareTeam } from "./team.js";
import { buildWall } from "./wall.js";

const FRAMES = 24;

/** @template {HTMLElement} T @param {string} id @returns {T} */
const $ = (id) => /** @type {T} */ (document.getElementById(id));

const name = /** @type {HTMLInputElement} */ ($("name"));
const other = /** @type {HTMLInputElement} */ ($("other"));
const mix = /** @type {HTMLInputElement} */ ($("mix"));
const canvas = /** @type {HTMLCanvasElement} */ ($("face"));
const blendRow = $("blend");
const status = $("status");
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** @type {import("../src/index.js").AvatarImage | undefined} */
let image;
let [drawing, stale] = [false, false];
let waiting = true; // what the status says is over once a face is there
let truncation = 1; // by the link only

/** The other name, if there is a blend. */
const partner = () => (blendRow.hidden ? "" : other.value);

/** Draws what the controls say; while one drawing is under way, only the latest wish is kept. */
async function draw() {
  stale = true;
  mix.disabled = !partner();
  $("morph").toggleAttribute("disabled", !partner());
  if (drawing) return;
  drawing = true;
  canvas.ariaBusy = "true";
  try {
    const generator = await AvatarFace.generator();
    while (stale) {
      stale = false;
      const t = partner() ? Number(mix.value) : 0;
      image = await generator.mix(name.value, partner(), t, { truncation, priority: "high" });
      toCanvas(image, canvas);
      canvas.ariaLabel = t ? `Avatar between ${name.value} and ${partner()}` : `Avatar of ${name.value || "the empty name"}`;
      document.title = name.value ? `${name.value} – a name, a face` : "A name, a face";
    }
    if (waiting) say("");
    waiting = false;
  } catch (error) {
    say(reasonOf(error), true);
    waiting = true;
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

async function modelHere() {
  return (await AvatarFace.generator()).modelId;
}

async function fromLink() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  name.value = wanted.get("name") ?? name.value;
  other.value = wanted.get("with") ?? "";
  mix.value = wanted.get("mix") ?? "0.5";
  truncation = Number(wanted.get("truncation") ?? 1);
  blendRow.hidden = !other.value;
  await draw();
  const [made, here] = [wanted.get("model"), await modelHere().catch(() => null)];
  if (made && here && made !== here) say(`This link was made with the model ${made}; this page draws with ${here}, so the face may be another.`, true);
}

async function writeLink() {
  const parts = new URLSearchParams({ name: name.value });
  if (partner()) {
    parts.set("with", partner());
    parts.set("mix", mix.value);
  }
  if (truncation !== 1) parts.set("truncation", String(truncation));
  parts.set("model", await modelHere());
  history.replaceState(null, "", `#${String(parts).replaceAll("%40", "@")}`);
}

function changed() {
  draw();
  say("");
  writeLink().catch(() => {});
}

/** @param {string} chosen */
function choose(chosen) {
  name.value = chosen;
  blendRow.hidden = true;
  changed();
  toTop();
}

function toTop() {
  scrollTo({ top: 0, behavior: calm.matches ? "auto" : "smooth" });
}

/** @param {string} a @param {string} b */
function blend(a, b) {
  [name.value, other.value, mix.value] = [a, b, "0.5"];
  blendRow.hidden = false;
  changed();
  toTop();
  if (!calm.matches) morph();
}

/** The walk from one to the other and back to where the slider was. */
async function morph() {
  const [from, to, rest] = [name.value, partner(), Number(mix.value)];
  const generator = await AvatarFace.generator();
  const images = await generator.interpolate(from, to, FRAMES, { truncation, priority: "high" });
  for (let i = 0; i <= FRAMES * 2; i++) {
    if (name.value !== from || partner() !== to || Number(mix.value) !== rest) return; // something else is wanted
    const t = Math.min(i, 2 * FRAMES - 1 - i);
    if (images[t]) toCanvas(images[t], canvas);
    await new Promise((next) => setTimeout(next, 60));
  }
  draw();
}

/** @param {SubmitEvent} event */
async function save({ submitter }) {
  const form = new FormData(/** @type {HTMLFormElement} */ ($("save-form")));
  const look = { size: Number(form.get("size")), round: form.get("shape") === "round" };
  const kind = /** @type {HTMLButtonElement} */ (submitter).value;
  try {
    if (kind === "png" && image) download(await pngOf(image, look), `${fileName(image.name)}.png`);
    if (kind === "gif") {
      say("Making the GIF …");
      const generator = await AvatarFace.generator();
      const images = await generator.interpolate(name.value, partner(), FRAMES, { truncation });
      download(await gifOf(images, look), `${fileName(`${name.value}-${partner()}`)}.gif`);
      say("");
    }
  } catch (error) {
    say(reasonOf(error), true);
  }
}

async function share() {
  await writeLink().catch(() => {});
  try {
    await navigator.clipboard.writeText(location.href);
    say("The link is copied.");
  } catch {
    say("Copy the link from the address bar.");
  }
}

function listen() {
  const hero = $("hero");
  hero.addEventListener("input", changed);
  hero.addEventListener("submit", (event) => event.preventDefault());
  $("shuffle").addEventListener("click", () => choose(randomName(name.value)));
  $("start-blend").addEventListener("click", () => {
    if (blendRow.hidden) other.value = randomName(name.value);
    blendRow.hidden = false;
    other.select();
    changed();
  });
  $("unblend").addEventListener("click", () => {
    blendRow.hidden = true;
    changed();
    name.focus();
  });
  $("morph").addEventListener("click", () => morph().catch((error) => say(reasonOf(error), true)));
  $("open-save").addEventListener("click", () => {
    $("save-gif").hidden = !partner();
    /** @type {HTMLDialogElement} */ ($("save-dialog")).showModal();
  });
  $("save-form").addEventListener("submit", save);
  $("share").addEventListener("click", share);
  addEventListener("hashchange", fromLink);
}

/** Lets sw.js keep what the page has loaded and, from then on, all that it loads. */
async function keepForOffline() {
  if (!location.protocol.startsWith("http") || !("serviceWorker" in navigator)) return;
  await navigator.serviceWorker.register(new URL("sw.js", document.baseURI));
  await navigator.serviceWorker.ready;
  const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
  await (await caches.open("avatar-edge")).addAll([location.pathname, ...loaded.filter((url) => url.startsWith(location.origin) && !url.endsWith(".onnx"))]);
}

/** Bring the page to life. @param {import("../src/element.js").FaceOptions} [options] */
export async function start(options = {}) {
  AvatarFace.options = options;
  listen();
  prepareTeam(say);
  fromLink();
  buildWall($("wall"), $("wall-end"), { choose, blend });
  name.select();
  await keepForOffline().catch(() => {}); // offline is an extra: private windows forbid it
}
