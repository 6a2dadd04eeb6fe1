// What index.html runs.

import { start } from "./demo.js";

await start();
