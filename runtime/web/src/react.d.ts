import type { CSSProperties, HTMLAttributes, ReactElement, Ref } from "react";
import type { AvatarError } from "./index.js";
import type { AvatarFace as AvatarFaceElement } from "./element.js";

interface FaceAttributes {
  /** Whose face; null or undefined leaves the box empty. */
  name?: string | null;
  /** A number of CSS pixels or any CSS length; 96 without it. */
  size?: string | number;
  /** From 0 to 2; 1 without it. */
  truncation?: number;
  /** A model file's address; the embedded model without it. */
  model?: string;
  /** What screen readers say instead of "Avatar of NAME"; empty for decoration. */
  alt?: string;
}

export interface AvatarFaceProps
  extends FaceAttributes,
    Omit<HTMLAttributes<HTMLElement>, "onLoad" | "onError" | keyof FaceAttributes> {
  style?: CSSProperties;
  onLoad?: (event: Event) => void;
  onError?: (event: CustomEvent<AvatarError>) => void;
}

/** `<AvatarFace name="alice" size={48} />`; a server renders a box of its size with its label. */
export function AvatarFace(props: AvatarFaceProps): ReactElement;

/** `<avatar-face>` itself, in React 19's JSX. */
declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "avatar-face": HTMLAttributes<HTMLElement> &
        FaceAttributes & {
          class?: string;
          ref?: Ref<AvatarFaceElement>;
          onload?: (event: Event) => void;
          onerror?: (event: CustomEvent<AvatarError>) => void;
        };
    }
  }
}
