"""Scales the channels between two layers to similar ranges, so that one int8 step suits all of them."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx

from avatar_export.int8.calibration import channel_maxima
from avatar_export.passes.editing import add_constant, constants, graph_pass, only_consumer

STRENGTH = 0.5
"""0 scales nothing. 1 gives all channels the same range, but the weights' error then grows by more than that gains."""
MIN_SHARE = 1e-3
"""A channel counts as at least this share of the strongest."""

Maxima = Mapping[str, npt.NDArray[np.float32]]
"""Output of a Relu -> the largest value of each of its channels, float32 [C]."""


@graph_pass
def equalize_channels(model: onnx.ModelProto, maxima: Maxima | None = None) -> bool:
    """Divide each channel before a Relu by a factor, and multiply the weights that read it by the same factor.

    The network computes the same, since Relu(x / s) = Relu(x) / s. The factor is the channel's largest value to the
    power of STRENGTH; its geometric mean over the channels is 1. maxima is measured on the calibration latents if it is
    not given. After G. Xiao et al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language
    Models", ICML 2023, section 4, who also divide by the largest weight that reads the channel: here that is 0.5 dB
    worse. Preconditions, for each pair of layers:

    1. Two ConvTranspose of one group with a Relu between them, each output read once.
    2. Their weights are constants; the first has a bias, a constant too.
    3. maxima has the Relu's output.
    """
    maxima = channel_maxima(model) if maxima is None else maxima
    graph, changed = model.graph, False
    for node in [node for node in graph.node if node.op_type == "ConvTranspose"]:
        known = constants(graph)
        relu = only_consumer(graph, node.output[0])
        reader = only_consumer(graph, relu.output[0]) if relu is not None and relu.op_type == "Relu" else None
        if relu is None or reader is None or reader.op_type != "ConvTranspose" or relu.output[0] not in maxima:
            continue
        named = [*node.input[1:], reader.input[1]]
        if len(named) != 3 or not all(name in known for name in named) or not (_is_whole(node) and _is_whole(reader)):
            continue
        weight, bias, reading = (known[name].astype(np.float64) for name in named)  # [in, out, kh, kw], [out]
        factor = np.power(_floored(maxima[relu.output[0]]), STRENGTH)
        factor /= np.exp(np.log(factor).mean())
        for target, place, name, array in (
            (node, 1, "weight", weight / factor[:, None, None]),
            (node, 2, "bias", bias / factor),
            (reader, 1, "reading", reading * factor[:, None, None, None]),
        ):
            target.input[place] = add_constant(graph, f"{relu.name}.equal_{name}", array.astype(np.float32))
        changed = True
    return changed


def _is_whole(node: onnx.NodeProto) -> bool:
    return all(attribute.i == 1 for attribute in node.attribute if attribute.name == "group")


def _floored(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    return np.maximum(values.astype(np.float64), MIN_SHARE * float(values.max()) or 1.0)
