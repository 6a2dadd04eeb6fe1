import vue from "@vitejs/plugin-vue";

const isCustomElement = (tag) => tag === "avatar-face";
export default { plugins: [vue({ template: { compilerOptions: { isCustomElement } } })] };
