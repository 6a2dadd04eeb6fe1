// node draw.js MODEL REQUEST: draws with runtime/web; REQUEST is [method, ...arguments] as JSON, the answer pixels or an error.
import { createRequire } from "node:module";

import { AvatarGenerator } from "../../runtime/web/src/index.js";

const ort = () => createRequire(new URL("../../runtime/web/", import.meta.url))("onnxruntime-web/wasm");

try {
  const generator = await AvatarGenerator.load(process.argv[2], { ort });
  const [method, ...args] = JSON.parse(process.argv[3]);
  const answer = await /** @type {any} */ (generator)[method](...args);
  const images = Array.isArray(answer) ? answer : [answer];
  const pixels = images.map((image) => (image.data ? Buffer.from(image.data).toString("base64") : image));
  console.log(JSON.stringify({ pixels }));
} catch (error) {
  const { name, code, message } = /** @type {import("../../runtime/web/src/index.js").AvatarError} */ (error);
  console.log(JSON.stringify({ name, code, message }));
}
