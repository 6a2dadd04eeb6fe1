export default { output: "export", basePath: "/some/app" };
