import "avatar-runtime-web/element";
import { check } from "./check.js";

check();
