"""Prints the metadata of a model file. Needs neither onnx nor MindSpore."""

import hashlib
import json
from pathlib import Path
from typing import Any

from avatar_runtime.command.info import printable
from avatar_runtime.errors import ModelFileError
from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.model_file.metadata import KEY, OUTPUT_NAMES, ModelSpec
from avatar_runtime.model_file.reading import read_file


def inspect(path: Path) -> str:
    """A model file's metadata as text, a field per line, and whether its golden images are drawn right here.

    Raises ModelFileError if it is not a model file of avatar-edge.
    """
    if path.suffix == ".mindir":
        metadata, digest = _mindir_metadata(path)
        golden = "not drawn here, since this file needs MindSpore"
    else:
        generator = AvatarGenerator.load(path)
        metadata, digest = generator.spec, generator.model_sha256
        golden = _golden(generator)
    lines = {
        "id": metadata.id,
        "file": f"{path.stat().st_size / 1e6:.2f} MB, SHA-256 {digest}",
        **describe(metadata),
        "golden": golden,
    }
    return "\n".join(f"{key:<11} {printable(value)}" for key, value in lines.items())


def _mindir_metadata(path: Path) -> tuple[ModelSpec, str]:
    """The metadata beside a MINDIR file, and the file's SHA-256."""
    sidecar = path.with_name(f"{path.name}.json")
    try:
        digest = hashlib.sha256(read_file(path)).hexdigest()
        metadata = ModelSpec.from_metadata({KEY: read_file(sidecar).decode(errors="replace")})
        stated = json.loads(sidecar.read_bytes()).get("file_sha256")
    except ModelFileError as err:
        raise ModelFileError(f"{path}, with its metadata in {sidecar.name}: {err}") from err
    if stated != digest:
        raise ModelFileError(f"{path} is not the file that {sidecar.name} describes; export it again")
    return metadata, digest


def describe(metadata: ModelSpec) -> dict[str, str]:
    """The fields of the metadata as text, without name and golden check."""
    size, channels, (low, high) = metadata.image_size, metadata.channels, metadata.pixel_range
    shape = [size, size, channels] if metadata.output == "uint8" else [channels, size, size]
    batch = metadata.batch or "N"
    parity = [f"{key.replace('_', ' ')} {_short(value)}" for key, value in metadata.parity.items()]
    return {
        "input": f"z float32 [{batch}, {metadata.latent_dim}], from names by {metadata.latent_scheme}",
        "output": f"{OUTPUT_NAMES[metadata.output]} {metadata.output} [{batch}, {', '.join(map(str, shape))}]",
        "trained on": f"pixels in [{low:g}, {high:g}]",
        "precision": metadata.precision,
        "passes": ", ".join(metadata.passes) or "none",
        "parity": ", ".join(parity) or "none",
        "checkpoint": f"SHA-256 {metadata.checkpoint_sha256}" if metadata.checkpoint_sha256 else "not stated",
        "licence": metadata.license or "not stated",
        "provenance": metadata.provenance or "not stated",
    }


def _golden(generator: AvatarGenerator) -> str:
    golden = generator.spec.golden
    if golden is None:
        return "none"
    try:
        found = f"{generator.verify()} levels off on this machine, {golden.tolerance} allowed"
    except ModelFileError as err:
        found = f"FAILED: {err}"
    return f"{', '.join(map(repr, golden.names))}: {found}"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_short(part)}" for key, part in value.items()) + "}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
