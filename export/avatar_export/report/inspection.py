"""The contract of a model file, for a reader. Needs neither onnx nor MindSpore."""

import hashlib
import json
from pathlib import Path
from typing import Any

from avatar_runtime.errors import ModelFileError
from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.model_file.metadata import KEY, OUTPUT_NAMES, ModelSpec
from avatar_runtime.session import read_model


def inspect(path: Path) -> str:
    """What a model file promises, a line for each part of its contract, and whether it keeps its golden check here.

    Raises ModelFileError if it is no model file of avatar-edge.
    """
    if path.suffix == ".mindir":
        spec, digest = _mindir_contract(path)
        golden = "not drawn here: MindSpore runs this file"
    else:
        generator = AvatarGenerator.load(path)
        spec, digest = generator.spec, generator.model_sha256
        golden = _golden(generator)
    lines = {
        "name": spec.name,
        "file": f"{path.stat().st_size / 1e6:.2f} MB, SHA-256 {digest}",
        **describe(spec),
        "golden": golden,
    }
    return "\n".join(f"{key:<11} {_printable(value)}" for key, value in lines.items())


def _mindir_contract(path: Path) -> tuple[ModelSpec, str]:
    """The contract beside a MINDIR file, and the file's SHA-256."""
    sidecar = path.with_name(f"{path.name}.json")
    try:
        digest = hashlib.sha256(read_model(path)).hexdigest()
        spec = ModelSpec.from_metadata({KEY: read_model(sidecar).decode(errors="replace")})
        stated = json.loads(sidecar.read_bytes()).get("file_sha256")
    except ModelFileError as err:
        raise ModelFileError(f"{path}, whose contract is {sidecar.name} beside it: {err}") from err
    if stated != digest:
        raise ModelFileError(f"{path} is not the file that {sidecar.name} beside it describes; export it again")
    return spec, digest


def describe(spec: ModelSpec) -> dict[str, str]:
    """The parts of a contract that tell of the model, as text."""
    size, channels, (low, high) = spec.image_size, spec.channels, spec.pixel_range
    shape = [size, size, channels] if spec.output == "uint8" else [channels, size, size]
    batch = spec.batch or "N"
    return {
        "input": f"z float32 [{batch}, {spec.latent_dim}], from names by {spec.latent_scheme}",
        "output": f"{OUTPUT_NAMES[spec.output]} {spec.output} [{batch}, {', '.join(map(str, shape))}]",
        "trained on": f"pixels in [{low:g}, {high:g}]",
        "precision": spec.precision,
        "passes": ", ".join(spec.passes) or "none",
        "parity": ", ".join(f"{key.replace('_', ' ')} {_short(value)}" for key, value in spec.parity.items()) or "none",
        "checkpoint": f"SHA-256 {spec.checkpoint_sha256}" if spec.checkpoint_sha256 else "not stated",
        "licence": spec.license or "not stated",
        "provenance": spec.provenance or "not stated",
    }


def _golden(generator: AvatarGenerator) -> str:
    golden = generator.spec.golden
    if golden is None:
        return "none"
    try:
        found = f"{generator.verify()} levels off on this machine, {golden.tolerance} tolerated"
    except ModelFileError as err:
        found = f"FAILED: {err}"
    return f"{', '.join(map(repr, golden.names))}: {found}"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_short(part)}" for key, part in value.items()) + "}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _printable(text: str) -> str:
    """The text without what could move a terminal's cursor: a file may come from anywhere."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
