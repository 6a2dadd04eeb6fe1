"""The last steps of an export: contract, checks, and the file."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import onnx

from avatar_runtime.errors import AvatarError
from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.imaging.arrays import UInt8
from avatar_runtime.imaging.encoding import encode
from avatar_runtime.model_file.metadata import GoldenCheck, ModelSpec
from avatar_runtime.output.atomic import replacing
from avatar_runtime.session import open_session

GOLDEN_NAMES = ("", "alice", "avatar-edge/0", "アリス")
GOLDEN_TOLERANCE = {"fp32": 1, "fp16": 1, "int8": 4}
"""Levels by which another CPU may draw, by precision. int8 gives the same bits wherever onnxruntime computes it; a
kernel that rounds another way is one step of an activation off, and a step of the last is two levels."""


class ModelCheckError(AvatarError):
    """The finished model is not sound. A defect of the exporter, not of its input."""


def check_model(model: onnx.ModelProto) -> bytes:
    """The bytes of a model after onnx's full check. Raises ModelCheckError."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as err:
        raise ModelCheckError(f"onnx.checker refuses the exported graph: {err}") from err
    return bytes(model.SerializeToString())


def write_model(
    path: Path, model: onnx.ModelProto, spec: ModelSpec, convert: Callable[[bytes], bytes] = bytes
) -> ModelSpec:
    """Put the contract with a golden check into the model and write it, whole or not at all.

    convert turns an ONNX file into another format that keeps its metadata. The file is read back by the runtime and
    must draw its golden images before it gets its name. Returns the spec in the file. Raises ModelCheckError or
    OutputError.
    """
    drawn = AvatarGenerator(open_session(convert(model.SerializeToString())), spec, "")
    spec = replace(spec, golden=golden_check(drawn))
    finished = onnx.ModelProto()
    finished.CopyFrom(model)
    onnx.helper.set_model_props(finished, spec.to_metadata())
    with replacing(path) as temporary:
        temporary.write_bytes(convert(check_model(finished)))
        read_back = AvatarGenerator.load(temporary)
        if read_back.spec != spec or golden_check(read_back) != spec.golden or read_back.verify() != 0:
            raise ModelCheckError(f"{path} does not read back as it was written; it was not kept")
    return spec


def golden_check(generator: AvatarGenerator) -> GoldenCheck:
    """What the generator makes of GOLDEN_NAMES, drawn one at a time."""
    return golden_images([generator.generate([name])[0] for name in GOLDEN_NAMES], generator.spec.precision)


def golden_images(images: Sequence[UInt8], precision: str = "fp32") -> GoldenCheck:
    """The golden check whose names are GOLDEN_NAMES and whose images are these, uint8 [H, W, C] each."""
    digests = tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in images)
    pictures = tuple(base64.b64encode(encode(image, ".png")).decode() for image in images)
    return GoldenCheck(GOLDEN_NAMES, digests, pictures, GOLDEN_TOLERANCE[precision])
