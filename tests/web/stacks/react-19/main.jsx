import { AvatarFace } from "avatar-runtime-web/react";
import { createRoot } from "react-dom/client";
import { check } from "./check.js";

createRoot(document.getElementById("app")).render(
  <AvatarFace name="alice" size="6rem" onLoad={() => (window.loads = (window.loads ?? 0) + 1)} />,
);
check();
