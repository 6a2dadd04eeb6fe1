// Goes into every project: the SHA-256 of alice's pixels, as generate gives them, ends up in window.alice.
import { AvatarGenerator } from "avatar-runtime-web";

export async function check(model) {
  const generator = await AvatarGenerator.load(model);
  const [{ data }] = await generator.generate(["alice"]);
  const digest = await crypto.subtle.digest("SHA-256", data);
  window.alice = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
