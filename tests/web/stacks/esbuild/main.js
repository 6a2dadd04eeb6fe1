import model from "avatar-runtime-web-model/anime-faces-64.onnx"; // --loader:.onnx=file gives its address
import { AvatarFace } from "avatar-runtime-web/element";
import { check } from "./check.js";

AvatarFace.options = { model };
check(model);
