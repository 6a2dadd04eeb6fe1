// What users' TypeScript must accept, and refuse: npm run --prefix runtime/web types
import { AvatarGenerator, ModelFileError, type AvatarImage, type ErrorCode } from "avatar-runtime-web";
import { AvatarFace as Face } from "avatar-runtime-web/element";
import { AvatarFace } from "avatar-runtime-web/react";

export async function draw(file: File, signal: AbortSignal): Promise<AvatarImage[]> {
  for (const source of ["model.onnx", new URL("x:y"), file, new Uint8Array(1), await fetch("model.onnx")]) {
    await AvatarGenerator.load(source, { workers: 2, sha256: "00", signal, ort: () => import("onnxruntime-web/wasm") });
  }
  // @ts-expect-error there is no such priority
  await (await AvatarGenerator.load()).generate(["alice"], { priority: "urgent" });
  return (await AvatarGenerator.load()).generate(64, { seed: "team", signal, priority: "high" });
}

export function listen(): void {
  const face = document.createElement("avatar-face");
  const same: Face = face;
  face.name = null;
  face.size = 48;
  face.size = "3rem";
  face.addEventListener("error", ({ detail }) => detail.code satisfies ErrorCode);
  face.addEventListener("load", () => same.complete);
  document.querySelector("avatar-face")?.reload();
  if (new ModelFileError("damaged", "no").code === "damaged") Face.options = { model: "model.onnx" };
  // @ts-expect-error there is no such code
  new ModelFileError("other", "no");
}

export const page = (
  <main>
    <AvatarFace name="alice" size={48} className="round" onError={({ detail }) => detail.code satisfies ErrorCode} />
    <avatar-face name="alice" size="3rem" class="round" onload={() => undefined} />
  </main>
);
