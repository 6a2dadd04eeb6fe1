import type { AvatarError, AvatarGenerator, LoadOptions, ModelSource } from "./index.js";

export interface FaceOptions extends LoadOptions {
  /** The model of elements without the attribute; its sha256 is the option of that name. Default: the packaged one. */
  model?: ModelSource;
}

export interface AvatarFaceEventMap extends HTMLElementEventMap {
  /** The face is there. */
  load: Event;
  /** It cannot be drawn; detail says why. The name's first letter stands instead; `reload()` tries again. */
  error: ErrorEvent & CustomEvent<AvatarError>;
}

/** `<avatar-face name="alice" size="96">`: an avatar wherever an image could be. */
export class AvatarFace extends HTMLElement {
  /** How models are opened: set before the first face. */
  static options: FaceOptions;
  /** The generator that draws the faces of a model, by default the packaged one. */
  static generator(model?: string): Promise<AvatarGenerator>;
  /** Whose face; null or undefined leaves the box empty. */
  get name(): string | null;
  set name(value: string | null | undefined);
  /** A number of CSS pixels or any CSS length; 96 without it. */
  get size(): string | null;
  set size(value: string | number | null | undefined);
  /** From 0 to 2; 1 without it. */
  get truncation(): number;
  set truncation(value: number | null | undefined);
  /** A model file's address; the packaged model without it. */
  get model(): string | null;
  set model(value: string | null | undefined);
  /** What screen readers say instead of "Avatar of NAME"; empty for decoration. */
  get alt(): string | null;
  set alt(value: string | null | undefined);
  /** Whether the face is there, or there is none to draw. */
  readonly complete: boolean;
  /** Try again after an error. */
  reload(): void;
  addEventListener<K extends keyof AvatarFaceEventMap>(
    type: K,
    listener: (this: AvatarFace, event: AvatarFaceEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof AvatarFaceEventMap>(
    type: K,
    listener: (this: AvatarFace, event: AvatarFaceEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | EventListenerOptions,
  ): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "avatar-face": AvatarFace;
  }
}
