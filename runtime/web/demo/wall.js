// The wall: faces with first names, more of them as one scrolls; choose one, or drag one onto another.

import { AvatarFace } from "../src/element.js";
import { wallName } from "./names.js";

const PART = 60;
const HOLD = 350; // milliseconds of a finger at rest; before that it scrolls

/**
 * @param {HTMLElement} list @param {Element} end What comes near the screen when more are needed.
 * @param {{ choose: (name: string) => void, blend: (a: string, b: string) => void }} actions
 */
export function buildWall(list, end, { choose, blend }) {
  const from = crypto.getRandomValues(new Uint32Array(1))[0] % 247;
  let count = 0;
  const more = () => list.append(...Array.from({ length: PART }, () => tile(wallName(count++, from))));
  more();
  const watcher = new IntersectionObserver(
    (entries) => {
      if (!entries.at(-1)?.isIntersecting) return; // a busy page tells of several changes at once: the last one holds
      more();
      watcher.unobserve(end); // observed anew, it tells again while it is still near
      watcher.observe(end);
    },
    { rootMargin: "600px" },
  );
  watcher.observe(end);
  list.addEventListener("click", (event) => {
    const name = tileAt(event.target)?.dataset.name;
    if (name !== undefined) choose(name);
  });
  letDrag(list, blend);
}

/** @param {string} name */
function tile(name) {
  const [item, button, label] = [document.createElement("li"), document.createElement("button"), document.createElement("bdi")];
  const face = new AvatarFace();
  face.alt = "";
  face.name = name;
  label.textContent = name;
  button.type = "button";
  button.dataset.name = name;
  button.append(face, label);
  item.append(button);
  return item;
}

/** @param {EventTarget | null} target */
function tileAt(target) {
  return target instanceof Element ? /** @type {HTMLElement | null} */ (target.closest("button[data-name]")) : null;
}

/** By mouse at once, by finger after holding it. @param {HTMLElement} list @param {(a: string, b: string) => void} blend */
function letDrag(list, blend) {
  /** @type {HTMLElement | null} */
  let source = null;
  /** @type {HTMLElement | null} */
  let ghost = null;
  /** @type {HTMLElement | null} */
  let target = null;
  let [startX, startY, timer] = [0, 0, 0];

  const lift = (/** @type {number} */ x, /** @type {number} */ y) => {
    if (!source) return;
    const face = new AvatarFace();
    face.alt = "";
    face.name = source.dataset.name ?? "";
    face.className = "ghost";
    document.body.append(face);
    ghost = face;
    move(x, y);
  };
  const move = (/** @type {number} */ x, /** @type {number} */ y) => {
    if (!ghost) return;
    ghost.style.left = `${x}px`;
    ghost.style.top = `${y}px`;
    const under = tileAt(document.elementFromPoint(x, y));
    target?.classList.remove("target");
    target = under === source ? null : under;
    target?.classList.add("target");
  };
  const drop = () => {
    clearTimeout(timer);
    target?.classList.remove("target");
    if (ghost) {
      list.addEventListener("click", (event) => event.stopImmediatePropagation(), { capture: true, once: true });
      setTimeout(() => list.dispatchEvent(new Event("click"))); // takes that listener away if no click came
    }
    ghost?.remove();
    const [a, b] = [source?.dataset.name, target?.dataset.name];
    source = ghost = target = null;
    if (a !== undefined && b !== undefined) blend(a, b);
  };
  list.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    source = tileAt(event.target);
    [startX, startY] = [event.clientX, event.clientY];
    if (source && event.pointerType !== "mouse") timer = window.setTimeout(() => lift(startX, startY), HOLD);
  });
  addEventListener("pointermove", (event) => {
    if (!source) return;
    const far = Math.hypot(event.clientX - startX, event.clientY - startY) > 8;
    if (ghost) move(event.clientX, event.clientY);
    else if (far && event.pointerType === "mouse") lift(event.clientX, event.clientY);
    else if (far) clearTimeout(timer);
  });
  list.addEventListener("touchmove", (event) => ghost && event.preventDefault(), { passive: false });
  list.addEventListener("contextmenu", (event) => ghost && event.preventDefault());
  addEventListener("pointerup", drop);
  addEventListener("pointercancel", () => {
    target?.classList.remove("target");
    target = null;
    drop();
  });
}
