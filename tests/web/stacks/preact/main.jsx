import "avatar-runtime-web/element";
import { render } from "preact";
import { check } from "./check.js";

render(<avatar-face name="alice" size={96} onload={() => (window.loads = 1)} />, document.getElementById("app"));
check();
