"use client";

import { AvatarFace } from "avatar-runtime-web/react";
import { useEffect } from "react";
import { check } from "../check.js";

export function Client() {
  useEffect(() => void check(), []);
  return <AvatarFace name="bob" onLoad={() => (window.loads = 1)} />;
}
