// Without a browser: prints the SHA-256 of alice's pixels.
import { createHash } from "node:crypto";

import { AvatarGenerator } from "avatar-runtime-web";

const generator = await AvatarGenerator.load();
const [{ data }] = await generator.generate(["alice"]);
console.log(createHash("sha256").update(data).digest("hex"));
await generator.close();
