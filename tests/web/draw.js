// node draw.js MODEL REQUEST: draws with runtime/web; REQUEST is [method, ...arguments] as JSON, the answer pixels or an error.
import { AvatarGenerator } from "../../runtime/web/src/index.js";

try {
  const generator = await AvatarGenerator.load(process.argv[2], { ort: () => import("../../runtime/web/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs") });
  const [method, ...args] = JSON.parse(process.argv[3]);
  const answer = await /** @type {any} */ (generator)[method](...args);
  const images = Array.isArray(answer) ? answer : [answer];
  const pixels = images.map((image) => (image.data ? Buffer.from(image.data).toString("base64") : image));
  console.log(JSON.stringify({ pixels }));
} catch (error) {
  const { name, code, message } = /** @type {import("../../runtime/web/src/index.js").AvatarError} */ (error);
  console.log(JSON.stringify({ name, code, message }));
}
