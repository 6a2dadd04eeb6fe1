// The team sheet: names become faces to print, or a zip of pictures.

import { AvatarFace } from "../src/element.js";
import { reasonOf } from "../src/errors.js";
import { download, fileName, pngOf, zipOf } from "./pictures.js";

const SIDE = 256;

/** @param {string} text Names, one a line or between commas; each once. */
function namesIn(text) {
  return [...new Set(text.split(/[\n,;\t]+/).map((name) => name.trim()).filter(Boolean))];
}

/** @param {(text: string, failed?: boolean) => void} say */
export function prepareTeam(say) {
  const dialog = /** @type {HTMLDialogElement} */ (document.getElementById("team-dialog"));
  const input = /** @type {HTMLTextAreaElement} */ (document.getElementById("names"));
  const sheet = /** @type {HTMLElement} */ (document.getElementById("sheet"));
  const print = /** @type {HTMLButtonElement} */ (document.getElementById("print"));
  const zip = /** @type {HTMLButtonElement} */ (document.getElementById("zip"));

  const refresh = () => {
    const names = namesIn(input.value);
    const items = new Map(Array.from(sheet.children, (item) => [/** @type {HTMLElement} */ (item).dataset.name, item]));
    sheet.replaceChildren(...names.map((name) => items.get(name) ?? member(name)));
    print.disabled = zip.disabled = !names.length;
  };
  input.addEventListener("input", refresh);
  document.getElementById("open-team")?.addEventListener("click", () => {
    refresh();
    dialog.showModal();
  });
  print.addEventListener("click", async () => {
    print.disabled = true;
    await Promise.all(Array.from(sheet.querySelectorAll("avatar-face"), drawn)); // those below the edge, too
    print.disabled = false;
    window.print();
  });
  zip.addEventListener("click", async () => {
    zip.disabled = true;
    try {
      const generator = await AvatarFace.generator();
      const images = await generator.generate(namesIn(input.value));
      /** @type {Map<string, Uint8Array<ArrayBuffer>>} */
      const files = new Map();
      for (const image of images) {
        let name = fileName(image.name);
        for (let n = 2; files.has(`${name}.png`.toLowerCase()); n++) name = `${fileName(image.name)}-${n}`;
        const png = await pngOf(image, { size: SIDE, round: false });
        files.set(`${name}.png`.toLowerCase(), new Uint8Array(await png.arrayBuffer()));
      }
      download(zipOf([...files]), "team.zip");
    } catch (error) {
      dialog.close();
      say(reasonOf(error), true);
    } finally {
      zip.disabled = false;
    }
  });
}

/** @param {string} name */
function member(name) {
  const [item, label, face] = [document.createElement("li"), document.createElement("bdi"), new AvatarFace()];
  item.dataset.name = label.textContent = face.name = name;
  face.alt = "";
  item.append(face, label);
  return item;
}

/** @param {import("../src/element.js").AvatarFace} face @returns {Promise<void>} */
function drawn(face) {
  return new Promise((resolve) => {
    if (face.complete) return resolve();
    face.addEventListener("load", () => resolve(), { once: true });
    face.addEventListener("error", () => resolve(), { once: true });
    face.reload();
  });
}
