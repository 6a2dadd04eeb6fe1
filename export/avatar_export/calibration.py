"""What int8 needs to know of a network: the range of each activation, what the last layer sees, who suffers most."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from avatar_export.passes.editing import attributes, copy_of
from avatar_export.passes.quantization import Ranges, layer_inputs, quantization
from avatar_export.rounding import Moments
from avatar_runtime.latents import latents, series
from avatar_runtime.pixels import UInt8, from_network
from avatar_runtime.session import open_session, run

SERIES = "calibration"
LATENTS = 1000
"""Avatars 0 … 999 of SERIES give the ranges, the first JUDGES of them tell the layers apart. Least and largest value,
not a percentile: cutting 1 value in 10,000 costs 1 dB, and single pixels are then 60 levels off instead of 11."""
JUDGES = 256
MARGIN = 1.1
"""What the graph computes may be so much larger than what was seen. Without, a face in a thousand is 23 levels off."""
OBSERVED = 100
"""The first so many latents give the moments of the last layer: 100,000 places of 64x64 images."""
WORTH_FLOAT_DB = 1.0
"""A layer that gains less when it computes in float32 is not worth its time. The first gains 1.5 in the embedded model,
each other at most 0.4."""
BATCH = 50

Float32 = npt.NDArray[np.float32]


def activation_ranges(model: onnx.ModelProto) -> Ranges:
    """The range of each input of a Gemm, a Conv and a Tanh over LATENTS latents; model is a float graph."""
    graph = model.graph
    names = list(dict.fromkeys([*layer_inputs(graph), *(n.input[0] for n in graph.node if n.op_type == "Tanh")]))
    z = _latents(model, LATENTS)
    inputs = {value.name for value in graph.input}
    computed = [name for name in names if name not in inputs]
    ranges = {name: (float(z.min()), float(z.max())) for name in names if name in inputs}
    for found in _computed(model, computed, z):
        for name, values in found.items():
            low, high = ranges.get(name, (0.0, 0.0))
            ranges[name] = (min(low, float(values.min())), max(high, float(values.max())))
    return {
        name: (low, high) if name in inputs else (MARGIN * low, MARGIN * high) for name, (low, high) in ranges.items()
    }


def last_moments(model: onnx.ModelProto) -> dict[str, Moments]:
    """The moments of the inputs of the last layer's Conv nodes, by their names; model is a float graph.

    Errors of the other layers' weights hardly show: of what int8 added to the KID theirs was a thirtieth, and their
    moments take a minute.
    """
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    convs = [node for node in convs if node.input[0] == convs[-1].input[0]]
    sums: dict[str, list[Any]] = {}
    for found in _computed(model, [node.input[0] for node in convs[:1]], _latents(model, OBSERVED)):
        for node in convs:
            seen = _patches(found[node.input[0]], **attributes(node))  # [places, K]
            new = [len(seen), seen.sum(axis=0, dtype=np.float64), (seen.T @ seen).astype(np.float64)]
            sums[node.name] = [a + b for a, b in zip(sums.get(node.name, [0, 0, 0]), new, strict=True)]
    return {
        name: Moments(total / count, products / count - np.outer(total / count, total / count))
        for name, (count, total, products) in sums.items()
    }


def _patches(x: Float32, kernel_shape: Sequence[int], pads: Sequence[int]) -> Float32:
    """What each place of a Conv's output is computed from: x float32 [N, C, H, W] -> [places, C * rows * columns]."""
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, tuple(kernel_shape), axis=(2, 3))
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, x.shape[1] * kernel_shape[0] * kernel_shape[1])


def _computed(model: onnx.ModelProto, names: list[str], z: Float32) -> Iterator[dict[str, Float32]]:
    """Tensors of the graph for BATCH latents after the other, by name."""
    watched = copy_of(model)
    del watched.graph.output[:]
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = open_session(watched.SerializeToString())
    for start in range(0, len(z), BATCH):
        found = session.run(names, {model.graph.input[0].name: z[start : start + BATCH]})
        yield dict(zip(names, found, strict=True))


def sensitive_layers(model: onnx.ModelProto, ranges: Ranges, pixel_range: tuple[float, float]) -> list[str]:
    """Inputs of the layers that gain WORTH_FLOAT_DB or more by computing in float32, when all others are int8.

    model is a float graph whose output is the network's own; the gain is in PSNR of the pixels.
    """
    z = _latents(model, JUDGES)
    exact = _pixels(model, z, pixel_range)

    def noise(keep_float: list[str]) -> float:
        quantized, _ = quantization(model, ranges, keep_float)
        difference = _pixels(quantized, z, pixel_range).astype(np.int16) - exact
        return max(float(np.mean(np.square(difference, dtype=np.float64))), 1e-9)

    everything = noise([])
    gains = {name: 10 * np.log10(everything / noise([name])) for name in layer_inputs(model.graph)}
    return [name for name, gain in gains.items() if gain >= WORTH_FLOAT_DB]


def _latents(model: onnx.ModelProto, count: int) -> Float32:
    return latents(list(series(SERIES, count)), model.graph.input[0].type.tensor_type.shape.dim[1].dim_value)


def _pixels(model: onnx.ModelProto, z: Float32, pixel_range: tuple[float, float]) -> UInt8:
    session = open_session(model.SerializeToString())
    parts = [from_network(run(session, z[i : i + BATCH]), pixel_range) for i in range(0, len(z), BATCH)]
    return np.concatenate(parts)
