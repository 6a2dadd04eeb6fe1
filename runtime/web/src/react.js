"use client";
// <AvatarFace name="alice" size={48} />: the element in React 18 and 19. A server renders a box of its size with its label.

import { createElement, useEffect, useRef } from "react";
import "./element.js";

/** @param {import("./react.js").AvatarFaceProps} props */
export function AvatarFace({ name, size = 96, truncation, model, alt, style, onLoad, onError, ...rest }) {
  const element = useRef(/** @type {import("./element.js").AvatarFace | null} */ (null));
  useEffect(() => {
    const { current } = element;
    const listening = new AbortController();
    const { signal } = listening;
    if (onLoad) current?.addEventListener("load", /** @type {EventListener} */ (onLoad), { signal });
    if (onError) current?.addEventListener("error", /** @type {any} */ (onError), { signal });
    if (onLoad && name != null && current?.complete) onLoad(new Event("load")); // it was there before React listened
    return () => listening.abort();
  }, [onLoad, onError]);
  const silent = name == null || alt === "";
  return createElement("avatar-face", {
    ref: element,
    name: name ?? undefined,
    size: String(size),
    truncation,
    model,
    alt,
    role: silent ? undefined : "img",
    "aria-label": silent ? undefined : (alt ?? `Avatar of ${name}`),
    "aria-hidden": silent ? "true" : undefined,
    style: { display: "inline-block", inlineSize: length(size), aspectRatio: 1, ...style },
    ...rest,
  });
}

/** @param {string | number} size */
function length(size) {
  return /^\d*\.?\d+$/.test(String(size)) ? `${size}px` : String(size);
}
