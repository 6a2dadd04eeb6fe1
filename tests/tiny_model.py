"""A tiny generator with random weights, made in moments without MindSpore: what the runtime and export tests run on."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from avatar_export.formats.onnx_file import check_model, write_model
from avatar_export.graph import plain_graph
from avatar_export.pipeline import build_graph
from avatar_export.source.checkpoint import GeneratorWeights, generator_weights
from avatar_export.source.original import Original
from avatar_export.validation.parity import Network, cached
from avatar_export.variants import Variant
from avatar_runtime.latents import SCHEME
from avatar_runtime.model_file.metadata import KEY, ModelSpec
from avatar_runtime.session import open_session, run


def tiny_arrays(
    image_size: int = 32,
    ngf: int = 8,
    channels: int = 3,
    latent_dim: int = 100,
    seed: int = 0,
    latent_map: bool = False,
    refined: bool = False,
    bounded: bool = False,
) -> dict[str, npt.NDArray[Any]]:
    """Arrays under the names of a generator's checkpoint, drawn wide enough for its pictures to have contrast."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int, mean: float = 0.0, sigma: float = 1.0) -> npt.NDArray[np.float32]:
        return (mean + sigma * rng.standard_normal(shape)).astype(np.float32)

    def batch_norm(name: str, width: int) -> dict[str, npt.NDArray[np.float32]]:
        return {
            f"{name}.gamma": normal(width, mean=1.0, sigma=0.1),
            f"{name}.beta": normal(width, sigma=0.2),
            f"{name}.moving_mean": normal(width, sigma=0.1),
            f"{name}.moving_variance": np.abs(normal(width, mean=0.5, sigma=0.1)) + np.float32(0.1),
        }

    hidden = int(np.log2(image_size)) - 2
    widths = [latent_dim, *(ngf * 2**i for i in reversed(range(hidden))), channels]
    arrays: dict[str, npt.NDArray[Any]] = {}
    if bounded:
        arrays["activation_bound"] = np.array(1, np.int32)
    if latent_map:
        arrays["latent_map.weight"] = normal(latent_dim, latent_dim, sigma=1 / np.sqrt(latent_dim))
        arrays["latent_map.bias"] = normal(latent_dim)
    for i, (wide, narrow) in enumerate(pairwise(widths)):
        arrays[f"generator.{3 * i}.weight"] = normal(wide, narrow, 4, 4, sigma=1 / np.sqrt(wide * (1 if i == 0 else 4)))
        if i < hidden:
            norm = f"generator.{3 * i + 1}"
            arrays |= batch_norm(norm, narrow)
        for j in range(1 if refined and i < min(hidden, 4) else 0):
            block, inside = f"residual_blocks.{i}.{j}", max(narrow // 4, 1)
            arrays[f"{block}.conv1.weight"] = normal(inside, narrow, 3, 3, sigma=1 / np.sqrt(9 * narrow))
            arrays[f"{block}.conv2.weight"] = normal(narrow, inside, 1, 1, sigma=0.5 / np.sqrt(inside))
            arrays |= batch_norm(f"{block}.norm1", inside) | batch_norm(f"{block}.norm2", narrow)
    return arrays


def tiny_weights(*architecture: Any, **settings: Any) -> GeneratorWeights:
    """The arrays of `tiny_arrays` as GeneratorWeights, with pixels in [-1, 1]."""
    return generator_weights(tiny_arrays(*architecture, **settings), sha256="0" * 64, pixel_range=(-1.0, 1.0))


def model_of(
    nodes: Sequence[onnx.NodeProto],
    x: onnx.ValueInfoProto,
    outputs: Sequence[onnx.ValueInfoProto],
    constants: Mapping[str, Any] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    """A model of one input."""
    arrays = [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "test", [x], outputs, arrays)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def foreign_model() -> onnx.ModelProto:
    """A sound model that is not one of avatar-edge."""
    z, out = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 100]) for name in ("z", "out"))
    return model_of([helper.make_node("Identity", ["z"], ["out"])], z, [out])


def build_model(
    weights: GeneratorWeights, output: str, precision: str = "fp32"
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The rewritten graph, without metadata, and the names of the passes that changed it."""
    _, *rewritten = stages = build_graph(weights, Variant(precision=precision, output=output))
    return stages[-1][1], tuple(name for name, _ in rewritten)


def plain_network(weights: GeneratorWeights) -> Network:
    """The plain graph, in the place of MindSpore's network."""
    return partial(run, open_session(check_model(plain_graph(weights))))


def tiny_original() -> Original:
    """A tiny generator, in the place of any checkpoint."""
    weights = tiny_weights(ngf=2, latent_dim=7)
    network = plain_network(weights)
    return Original(weights, network, cached(network), "random weights")


def write_tiny_model(
    path: Path,
    weights: GeneratorWeights | None = None,
    output: str = "uint8",
    precision: str = "fp32",
    version: int = 1,
) -> ModelSpec:
    """Write a model file without the comparison that needs MindSpore; returns its metadata."""
    weights = weights or tiny_weights()
    model, applied = build_model(weights, output, precision)
    spec = ModelSpec(
        name="tiny",
        version=version,
        latent_dim=weights.latent_dim,
        image_size=weights.image_size,
        channels=weights.channels,
        output=output,
        pixel_range=weights.pixel_range,
        latent_scheme=SCHEME,
        precision=precision,
        passes=applied,
        checkpoint_sha256=weights.sha256,
        provenance="random weights for tests",
    )
    return write_model(path, model, spec)


def bright_scorer(size: int = 32, channels: int = 3, **changes: Any) -> onnx.ModelProto:
    """Scores an image by its mean level."""
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", size, size, channels])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch"])
    nodes = [
        helper.make_node("Cast", ["images"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["levels"], ["score"], axes=[1, 2, 3], keepdims=0),
    ]
    model = model_of(nodes, images, [score])
    promise = {"format_version": 1, "kind": "scorer", "image_size": size, "channels": channels, **changes}
    helper.set_model_props(model, {KEY: json.dumps(promise)})
    return model
