"""Writes an ONNX file: metadata, golden check, checks, and the file itself."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx

from avatar_export.formats.golden import golden_check
from avatar_export.passes.editing import copy_of
from avatar_export.validation.engine import check_engine
from avatar_runtime.errors import AvatarError
from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.model_file.metadata import ModelSpec
from avatar_runtime.output.atomic import replacing
from avatar_runtime.session import open_session


class ModelCheckError(AvatarError):
    """The finished model is not sound: a defect of the exporter, not of its input."""


def check_model(model: onnx.ModelProto) -> bytes:
    """The bytes of a model after onnx's full check. Raises ModelCheckError."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as err:
        raise ModelCheckError(f"onnx.checker refuses the exported graph: {err}") from err
    return bytes(model.SerializeToString())


def write_model(
    path: Path, model: onnx.ModelProto, metadata: ModelSpec, convert: Callable[[bytes], bytes] = bytes
) -> ModelSpec:
    """Put the metadata with a golden check into the model and write the file, whole or not at all.

    Before the file gets its name, the runtime reads it back, and it must draw its golden images. Of an int8 .onnx file
    the engine in C must draw the same faces, bit for bit.

    Args:
        path: The file.
        model: The finished graph; it is not changed.
        metadata: Without a golden check.
        convert: Turns an ONNX file into another format that keeps the metadata.

    Returns:
        The metadata in the file.

    Raises:
        ModelCheckError: The file does not read back.
        EngineError: The engine in C draws it differently.
        OutputError: It cannot be written.
    """
    generator = AvatarGenerator(open_session(convert(model.SerializeToString())), metadata, "")
    metadata = replace(metadata, golden=golden_check(generator))
    finished = copy_of(model)
    onnx.helper.set_model_props(finished, metadata.to_metadata())
    with replacing(path) as temporary:
        temporary.write_bytes(convert(check_model(finished)))
        read_back = AvatarGenerator.load(temporary)
        if read_back.spec != metadata or golden_check(read_back) != metadata.golden or read_back.verify() != 0:
            raise ModelCheckError(f"{path} does not read back as it was written; it was not kept")
        if metadata.precision == "int8" and metadata.output == "uint8" and convert is bytes:
            check_engine(temporary.read_bytes(), read_back)
    return metadata
