export default { resolve: { alias: { "react-dom": "react-dom-18", react: "react-18" } } };
