"""Scales the channels between two layers to similar ranges, so that one int8 step suits all of them."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx

from avatar_export.int8.calibration import channel_maxima
from avatar_export.passes.editing import add_constant, constants, graph_pass, is_convolution, only_consumer

STRENGTH = 1.0
"""0 scales nothing, 1 gives all channels the same range. `anime-faces-64@3` has a PSNR of 48.5 dB at 0.35, 49.6 at 0.7,
49.8 at 1, and its worst pixel is 17, 13 and 12 levels off."""
MIN_SHARE = 1e-3
"""A channel counts as at least this share of the strongest."""

Maxima = Mapping[str, npt.NDArray[np.float32]]
"""Output of a Relu -> the largest value of each of its channels, float32 [C]."""


@graph_pass
def equalize_channels(model: onnx.ModelProto, maxima: Maxima | None = None) -> bool:
    """Divide each channel before a Relu by a factor, and multiply the weights that read it by the same factor.

    The network computes the same, since Relu(x / s) = Relu(x) / s. The factor is the channel's largest value to the
    power of STRENGTH, with a geometric mean of 1. Tensors that a Concat joins share a scale, so they are brought to
    the same range, too. maxima is measured on the calibration latents if it is not given. After G. Xiao et al.,
    "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models", ICML 2023, section 4,
    who also divide by the largest weight that reads the channel: here that is 0.5 dB worse. Preconditions, for each set
    of Relus whose outputs Concats join, or a single one:

    1. Each Relu reads a ConvTranspose or Conv that nothing else reads; they and the Concats are read by such layers.
    2. Those layers are of one group with constant weights; those before a Relu have a bias, a constant too.
    3. maxima has the Relus' outputs, and none of the tensors is an output of the graph.
    """
    graph, changed = model.graph, False
    joined = _joined(graph)
    if maxima is None:
        maxima = channel_maxima(model) if joined else {}
    makers = {output: node for node in graph.node for output in node.output}
    for relus, concats in joined:
        known = constants(graph)
        writers = [makers.get(relu.input[0]) for relu in relus]
        shown = {output.name for output in graph.output}
        tensors = [node.output[0] for node in (*relus, *concats)]
        readers = [node for node in graph.node if set(tensors) & set(node.input) and node not in concats]
        if (
            not all(relu.output[0] in maxima and only_consumer(graph, relu.input[0]) is not None for relu in relus)
            or any(name in shown for name in tensors)
            or not readers
            or not all(is_convolution(node, known, inputs=3) for node in writers)
            or not all(is_convolution(node, known, inputs=2) and node.input[0] in tensors for node in readers)
        ):
            continue
        factors = {relu.output[0]: _factor(maxima[relu.output[0]]) for relu in relus}
        reach = {name: float((maxima[name] / factor).max()) for name, factor in factors.items()}
        smallest = min(reach.values())
        factors = {name: factor * (reach[name] / smallest) for name, factor in factors.items()}
        factors |= {node.output[0]: np.concatenate([factors[name] for name in node.input]) for node in concats}
        for relu, node in zip(relus, writers, strict=True):
            assert node is not None
            weight, bias = (known[name].astype(np.float64) for name in node.input[1:])
            factor = factors[relu.output[0]]
            by_output = (-1, 1, 1) if node.op_type == "ConvTranspose" else (-1, 1, 1, 1)  # [in, out, …] or [out, in, …]
            _set(graph, node, 1, weight / factor.reshape(by_output))
            _set(graph, node, 2, bias / factor)
        known = constants(graph)  # a writer may be a reader, too
        for node in readers:
            by_input = (-1, 1, 1, 1) if node.op_type == "ConvTranspose" else (-1, 1, 1)
            _set(graph, node, 1, known[node.input[1]].astype(np.float64) * factors[node.input[0]].reshape(by_input))
        changed = True
    return changed


def _joined(graph: onnx.GraphProto) -> list[tuple[list[onnx.NodeProto], list[onnx.NodeProto]]]:
    """The Relus in sets whose outputs Concats of channels join, each with those Concats."""
    sets = [([node], list[onnx.NodeProto]()) for node in graph.node if node.op_type == "Relu"]
    for concat in [node for node in graph.node if node.op_type == "Concat"]:
        parts = [each for each in sets if any(relu.output[0] in concat.input for relu in each[0])]
        if sum(len(set(concat.input) & {relu.output[0] for relu in relus}) for relus, _ in parts) == len(concat.input):
            merged = [relu for relus, _ in parts for relu in relus], [c for _, cs in parts for c in cs] + [concat]
            sets = [*(each for each in sets if each not in parts), merged]
    return sets


def _set(graph: onnx.GraphProto, node: onnx.NodeProto, place: int, array: npt.NDArray[np.float64]) -> None:
    name = f"{node.input[place]}.equal"
    node.input[place] = add_constant(graph, name, array.astype(np.float32))


def _factor(maxima: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    values = maxima.astype(np.float64)
    powers = np.power(np.maximum(values, MIN_SHARE * float(values.max()) or 1.0), STRENGTH)
    return np.asarray(powers / np.exp(np.log(powers).mean()))
