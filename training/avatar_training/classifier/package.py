"""The npm package nsfwjs, and the TensorFlow.js models that it packs into JavaScript modules.

nsfwjs and its weights: MIT License, Copyright (c) 2019 Infinite Red, Inc.

browserify wraps each file of a model into a module that exports one literal, and terser shortens it: `model.min.js`
holds the object that was model.json, and `group1-shard1of1.min.js` the weights in base64. A weight is one byte; each
tensor has a scale and a minimum.
"""

import base64
import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Package:
    """A tarball of the npm registry."""

    url: str
    """Its web address."""
    size: int
    """Its bytes."""
    sha256: str
    """Its digest."""


NSFWJS = Package(
    "https://registry.npmjs.org/nsfwjs/-/nsfwjs-4.4.0.tgz",
    24_973_068,
    "585cd178f3b994337c4d10a87b080d342fc52f8b9bf0085c4d1f345a3a1c5382",
)

_STRING_OR_SHORT = re.compile(r'"(?:[^"\\]|\\.)*"|!([01])|(?<=[{,])([A-Za-z_$][\w$]*)(?=:)|(?<![\w.])(?=\.\d)')
"""A string, or what JavaScript may write shorter than JSON: !0 for true, names without quotes, .5 for 0.5."""


@dataclass(frozen=True)
class Model:
    """A TensorFlow.js model."""

    topology: dict[str, Any]
    """Keras's `model_config`, or the `node`s of a TensorFlow graph."""
    weights: dict[str, Array]
    """Tensors by name, with the axes in TensorFlow's order."""


def read_model(tarball: Path, folder: str) -> Model:
    """Read the model in dist/models/`folder` of the package."""
    with tarfile.open(tarball) as archive:

        def exported(name: str) -> Any:
            member = archive.extractfile(f"package/dist/models/{folder}/{name}.min.js")
            assert member is not None  # a file: the digest is the package's
            return _literal(member.read().decode())

        found = exported("model")
        weights: dict[str, Array] = {}
        for group in found["weightsManifest"]:
            data, start = b"".join(base64.b64decode(exported(shard)) for shard in group["paths"]), 0
            for tensor in group["weights"]:
                code, count = tensor["quantization"], int(np.prod(tensor["shape"]))
                levels = np.frombuffer(data, np.uint8, count, start).reshape(tensor["shape"])
                weights[tensor["name"]] = (levels * np.float64(code["scale"]) + code["min"]).astype(np.float32)
                start += count
    return Model(found["modelTopology"], weights)


def _literal(module: str) -> Any:
    """What a module exports."""

    def longer(match: re.Match[str]) -> str:
        text, bit, name = match[0], match[1], match[2]
        if bit:
            return "true" if bit == "0" else "false"
        return f'"{name}"' if name else text or "0"

    literal = module[module.rindex(".exports=") + len(".exports=") :]
    return json.JSONDecoder().raw_decode(_STRING_OR_SHORT.sub(longer, literal))[0]
