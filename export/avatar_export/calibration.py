"""What int8 needs to know of a network: the range of each activation, and which layers suffer most."""

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from avatar_export.passes.editing import copy_of
from avatar_export.passes.quantization import Ranges, layer_inputs, quantization
from avatar_runtime.latents import latents, series
from avatar_runtime.pixels import UInt8, from_network
from avatar_runtime.session import open_session, run

SERIES = "calibration"
LATENTS = 1000
"""Avatars 0 … 999 of SERIES give the ranges, the first JUDGES of them tell the layers apart. Least and largest value,
not a percentile: cutting 1 value in 10,000 costs 1 dB, and single pixels are then 60 levels off instead of 11."""
JUDGES = 256
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
    watched = copy_of(model)
    inputs = {value.name for value in graph.input}
    del watched.graph.output[:]
    computed = [name for name in names if name not in inputs]
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in computed)
    session = open_session(watched.SerializeToString())
    ranges = {name: (float(z.min()), float(z.max())) for name in names if name in inputs}
    for start in range(0, len(z), BATCH):
        found = session.run(computed, {graph.input[0].name: z[start : start + BATCH]})
        for name, values in zip(computed, found, strict=True):
            low, high = ranges.get(name, (0.0, 0.0))
            ranges[name] = (min(low, float(values.min())), max(high, float(values.max())))
    return ranges


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
