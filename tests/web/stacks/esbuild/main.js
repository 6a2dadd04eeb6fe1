import model from "avatar-runtime-web-model/model.onnx"; // --loader:.onnx=file gives its address
import { AvatarFace } from "avatar-runtime-web/element";
import { check } from "./check.js";

AvatarFace.options = { model };
check(model);
