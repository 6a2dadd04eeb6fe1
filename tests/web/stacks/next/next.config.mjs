import { fileURLToPath } from "node:url";

export default {
  output: "export",
  basePath: "/some/app",
  turbopack: { root: fileURLToPath(new URL("../..", import.meta.url)) }, // only here: next is installed two folders up
};
