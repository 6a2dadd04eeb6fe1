export default { entry: "./main.js", mode: "production", output: { path: import.meta.dirname + "/out" } };
