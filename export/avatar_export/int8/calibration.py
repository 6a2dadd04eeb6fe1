"""What int8 must know about a network: value ranges and moments of its layers' inputs, and which layers lose most."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from avatar_export.int8.quantize_layers import Ranges, layer_inputs, quantize_layers
from avatar_export.int8.rounding import MAX_COMPENSATED, Moments
from avatar_export.passes.editing import attributes, copy_of
from avatar_runtime.imaging.arrays import UInt8, from_network
from avatar_runtime.latents import latents, series
from avatar_runtime.session import open_session, run

SERIES = "calibration"
"""All measurements here are made on avatars 0, 1, … of this series, which no comparison uses."""
RANGE_LATENTS = 10_000
"""Latents for the ranges and for the channels' maxima: the smallest and the largest value, not a percentile. Cutting
off 1 value in 10,000 costs 1 dB, and single pixels are then 60 levels off, not 11.

A few faces are far beyond the others in all layers, and what is beyond a range is cut off. Of 10,000 other faces of an
earlier model the worst is 31 levels off with 1,000 latents and 18 with 10,000, of the refined generator steered to 2
32 and about 14. The wider steps cost 0.3 to 0.4 dB.
"""
SENSITIVITY_LATENTS = 256
"""Latents that tell which layers lose most."""
MOMENT_LATENTS = 400
"""Latents for the moments."""
MAX_PLACES = 20_000
"""Places of a convolution's output that are used from one batch."""
TANH_REACH = 3.0
"""The input of a tanh is limited to this: beyond it a pixel changes by 0.63 levels at most."""
MIN_GAIN_DB = 1.0
"""A layer that gains less by computing in float32 is not worth the time. In an earlier model the first layer gains
1.5, each other at most 0.4."""
BATCH_SIZE = 50

Float32 = npt.NDArray[np.float32]


def activation_ranges(model: onnx.ModelProto) -> Ranges:
    """The range of each input of a Gemm, a Conv and a Tanh of a float graph, over RANGE_LATENTS latents."""
    graph = model.graph
    tanh_inputs = {node.input[0] for node in graph.node if node.op_type == "Tanh"}
    names = list(dict.fromkeys([*layer_inputs(graph), *sorted(tanh_inputs)]))
    z = _latents(model, RANGE_LATENTS)
    inputs = {value.name for value in graph.input}
    computed = [name for name in names if name not in inputs]
    ranges = {name: (float(z.min()), float(z.max())) for name in names if name in inputs}
    for tensors in _compute(model, computed, z):
        for name, values in tensors.items():
            low, high = ranges.get(name, (0.0, 0.0))
            ranges[name] = (min(low, float(values.min())), max(high, float(values.max())))
    return ranges | {
        name: (max(ranges[name][0], -TANH_REACH), min(ranges[name][1], TANH_REACH)) for name in tanh_inputs
    }


def channel_maxima(model: onnx.ModelProto) -> dict[str, Float32]:
    """The largest value of each channel of each Relu's output in a float graph: output name -> float32 [C]."""
    maxima: dict[str, Float32] = {}
    names = [node.output[0] for node in model.graph.node if node.op_type == "Relu"]
    for tensors in _compute(model, names, _latents(model, RANGE_LATENTS)):
        for name, values in tensors.items():
            largest = values.max((0, 2, 3))
            maxima[name] = np.maximum(maxima.get(name, largest), largest)
    return maxima


def conv_moments(model: onnx.ModelProto) -> dict[str, Moments]:
    """The moments of the inputs of all Conv nodes of a float graph, by node name. Takes a minute."""
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    sums: dict[str, list[Any]] = {}
    inputs = list(dict.fromkeys(node.input[0] for node in convs))
    for tensors in _compute(model, inputs, _latents(model, MOMENT_LATENTS)):
        for node in convs:
            patches = _patches(tensors[node.input[0]], **attributes(node))  # [places, K]
            patches = patches[:: -(-len(patches) // MAX_PLACES)]
            few = patches.shape[1] <= MAX_COMPENSATED
            products = (patches.T @ patches).astype(np.float64) if few else 0
            new = [len(patches), patches.sum(axis=0, dtype=np.float64), products]
            sums[node.name] = [a + b for a, b in zip(sums.get(node.name, [0, 0, 0]), new, strict=True)]
    moments = {}
    for name, (count, total, products) in sums.items():
        mean = total / count
        few = len(mean) <= MAX_COMPENSATED
        moments[name] = Moments(mean, products / count - np.outer(mean, mean) if few else None)
    return moments


def sensitive_layers(model: onnx.ModelProto, ranges: Ranges, pixel_range: tuple[float, float]) -> list[str]:
    """Inputs of the layers that gain MIN_GAIN_DB or more by computing in float32 while all others are int8.

    model is a float graph whose output is the network's own; the gain is in PSNR of the pixels. Only layers that read
    the graph's input are considered: the others' integers have sums beyond 2^24, which float32 rounds, so that each
    processor would draw other pixels.
    """
    z = _latents(model, SENSITIVITY_LATENTS)
    exact = _pixels(model, z, pixel_range)

    def noise(keep_float: list[str]) -> float:
        quantized, _ = quantize_layers(model, ranges, keep_float)
        difference = _pixels(quantized, z, pixel_range).astype(np.int16) - exact
        return max(float(np.mean(np.square(difference, dtype=np.float64))), 1e-9)

    all_int8 = noise([])
    inputs = {value.name for value in model.graph.input}
    first = [name for name in layer_inputs(model.graph) if name in inputs]
    return [name for name in first if 10 * np.log10(all_int8 / noise([name])) >= MIN_GAIN_DB]


def _patches(x: Float32, kernel_shape: Sequence[int], pads: Sequence[int]) -> Float32:
    """The inputs of each place of a Conv's output: x float32 [N, C, H, W] -> [places, C * rows * columns]."""
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, tuple(kernel_shape), axis=(2, 3))
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, x.shape[1] * kernel_shape[0] * kernel_shape[1])


def _compute(model: onnx.ModelProto, names: list[str], z: Float32) -> Iterator[dict[str, Float32]]:
    """Tensors of the graph by name, for one batch after another."""
    watched = copy_of(model)
    del watched.graph.output[:]
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = open_session(watched.SerializeToString())
    for start in range(0, len(z), BATCH_SIZE):
        tensors = session.run(names, {model.graph.input[0].name: z[start : start + BATCH_SIZE]})
        yield dict(zip(names, tensors, strict=True))


def _latents(model: onnx.ModelProto, count: int) -> Float32:
    return latents(list(series(SERIES, count)), model.graph.input[0].type.tensor_type.shape.dim[1].dim_value)


def _pixels(model: onnx.ModelProto, z: Float32, pixel_range: tuple[float, float]) -> UInt8:
    session = open_session(model.SerializeToString())
    parts = [from_network(run(session, z[i : i + BATCH_SIZE]), pixel_range) for i in range(0, len(z), BATCH_SIZE)]
    return np.concatenate(parts)
