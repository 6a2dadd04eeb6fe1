// The faces that the elements of a page share: each is drawn once, while anyone waits for it, and the last ones are kept.

/** @typedef {import("./index.js").AvatarImage} AvatarImage */
/** @typedef {{ image: Promise<AvatarImage>, done: boolean, users: number, stop: AbortController }} Face */

const KEPT_FACES = 256; // images of 16 KB at 64 pixels, 64 KB at 128

/** @type {Map<string, Face>} Least recently used first. */
const faces = new Map();

/**
 * @param {string} key What the face depends on.
 * @param {(signal: AbortSignal) => Promise<AvatarImage>} draw
 * @returns {{ image: Promise<AvatarImage>, release: () => void }} Release it when it is no longer wanted.
 */
export function wantFace(key, draw) {
  const face = faces.get(key) ?? newFace(key, draw);
  face.users++;
  faces.delete(key);
  faces.set(key, face);
  if (faces.size > KEPT_FACES) forgetOldest();
  let released = false;
  const release = () => {
    if (released) return;
    released = true;
    if (--face.users > 0 || face.done) return;
    if (faces.get(key) === face) faces.delete(key);
    face.stop.abort(); // nobody waits: it gives way to what is on screen now
  };
  return { image: face.image, release };
}

/** @param {string} key @param {(signal: AbortSignal) => Promise<AvatarImage>} draw @returns {Face} */
function newFace(key, draw) {
  const stop = new AbortController();
  /** @type {Face} */
  const face = { image: draw(stop.signal), done: false, users: 0, stop };
  face.image.then(
    () => (face.done = true),
    () => {
      if (faces.get(key) === face) faces.delete(key); // so that it may be tried again
    },
  );
  return face;
}

function forgetOldest() {
  const oldest = [...faces].find(([, { done }]) => done);
  if (oldest) faces.delete(oldest[0]);
}
