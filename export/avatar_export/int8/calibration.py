"""What int8 needs to know of a network: ranges and moments of what its layers see, and which of them suffers most."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from avatar_export.int8.quantization import Ranges, layer_inputs, quantization
from avatar_export.int8.rounding import Moments
from avatar_export.passes.editing import attributes, copy_of
from avatar_runtime.imaging.arrays import UInt8, from_network
from avatar_runtime.latents import latents, series
from avatar_runtime.session import open_session, run

SERIES = "calibration"
LATENTS = 1000
"""Avatars 0 … 999 of SERIES give the ranges, the first JUDGES of them tell the layers apart. Least and largest value,
not a percentile: cutting 1 value in 10,000 costs 1 dB, and single pixels are then 60 levels off instead of 11."""
JUDGES = 256
OBSERVED = 400
"""The first so many latents give the moments and the channels' maxima; of places there are at most PLACES a batch."""
PLACES = 20_000
TANH_REACH = 3.0
"""The input of a tanh is held to this: beyond it a pixel changes by 0.63 levels at most."""
WORTH_FLOAT_DB = 1.0
"""A layer that gains less when it computes in float32 is not worth its time. The first gains 1.5 in the embedded model,
each other at most 0.4."""
BATCH = 50

Float32 = npt.NDArray[np.float32]


def activation_ranges(model: onnx.ModelProto) -> Ranges:
    """The range of each input of a Gemm, a Conv and a Tanh over LATENTS latents; model is a float graph."""
    graph = model.graph
    curved = {node.input[0] for node in graph.node if node.op_type == "Tanh"}
    names = list(dict.fromkeys([*layer_inputs(graph), *sorted(curved)]))
    z = _latents(model, LATENTS)
    inputs = {value.name for value in graph.input}
    computed = [name for name in names if name not in inputs]
    ranges = {name: (float(z.min()), float(z.max())) for name in names if name in inputs}
    for found in _computed(model, computed, z):
        for name, values in found.items():
            low, high = ranges.get(name, (0.0, 0.0))
            ranges[name] = (min(low, float(values.min())), max(high, float(values.max())))
    return ranges | {name: (max(ranges[name][0], -TANH_REACH), min(ranges[name][1], TANH_REACH)) for name in curved}


def channel_maxima(model: onnx.ModelProto) -> dict[str, Float32]:
    """The largest value of each channel of each Relu's output, float32 [C], by the output's name; model is float."""
    maxima: dict[str, Float32] = {}
    names = [node.output[0] for node in model.graph.node if node.op_type == "Relu"]
    for found in _computed(model, names, _latents(model, OBSERVED)):
        for name, values in found.items():
            largest = values.max((0, 2, 3))
            maxima[name] = np.maximum(maxima.get(name, largest), largest)
    return maxima


def conv_moments(model: onnx.ModelProto) -> dict[str, Moments]:
    """The moments of the inputs of all Conv nodes, by the nodes' names; model is a float graph. Takes a minute."""
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    sums: dict[str, list[Any]] = {}
    for found in _computed(model, list(dict.fromkeys(node.input[0] for node in convs)), _latents(model, OBSERVED)):
        for node in convs:
            seen = _patches(found[node.input[0]], **attributes(node))  # [places, K]
            seen = seen[:: -(-len(seen) // PLACES)]
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
