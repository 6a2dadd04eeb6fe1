"""Scales the channels between two layers to similar ranges, so that one int8 step suits all of them."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx

from avatar_export.int8.calibration import channel_maxima
from avatar_export.passes.editing import add_constant, constants, copy_of, drop_unused_constants

STRENGTH = 0.5
"""0 scales nothing. 1 gives all channels the same range, but the weights' error then grows by more than that gains."""
MIN_SHARE = 1e-3
"""A channel counts as at least this share of the strongest."""

_TYING = ("Relu", "Add")

Maxima = Mapping[str, npt.NDArray[np.float32]]
"""Output of a Relu -> the largest value of each of its channels, float32 [C]."""


def equalize_channels(model: onnx.ModelProto, maxima: Maxima | None = None) -> tuple[onnx.ModelProto, bool]:
    """Divide each channel before a Relu by a factor, and multiply the weights that read it by the same factor.

    The network computes the same, since Relu(x / s) = Relu(x) / s. The factor is the channel's largest value to the
    power of STRENGTH; its geometric mean over the channels is 1. Tensors that a residual Add ties together have the same
    factors. maxima is measured on the calibration latents if it is not given. After G. Xiao et al., "SmoothQuant:
    Accurate and Efficient Post-Training Quantization for Large Language Models", ICML 2023, section 4, who also divide
    by the largest weight that reads the channel: here that is 0.5 dB worse. Preconditions, for each set of tensors that
    Relu and Add connect:

    1. It is written and read by ConvTranspose and Conv of one group, and by Relu and Add, alone.
    2. Their weights are constants; those that write it have a bias, a constant too.
    3. maxima has the output of a Relu in it, and no tensor of it is an output of the graph.
    """
    maxima = channel_maxima(model) if maxima is None else maxima
    model = copy_of(model)
    graph, changed = model.graph, False
    for tensors in _tied_tensors(graph):
        known = constants(graph)
        writers = [node for node in graph.node if node.output[0] in tensors and node.op_type not in _TYING]
        readers = [node for node in graph.node if tensors & set(node.input) and node.op_type not in _TYING]
        largest = [maxima[name] for name in sorted(tensors) if name in maxima]
        if (
            not (largest and writers and readers)
            or tensors & {output.name for output in graph.output}
            or not all(_is_plain_convolution(node) for node in [*writers, *readers])
            or not all(len(node.input) == 3 and set(node.input[1:]) <= set(known) for node in writers)
            or not all(node.input[0] in tensors and node.input[1] in known for node in readers)
        ):
            continue
        factor = np.power(_floored(np.max(largest, axis=0)), STRENGTH)
        factor /= np.exp(np.log(factor).mean())
        for node in writers:
            weight, bias = (known[name].astype(np.float64) for name in node.input[1:])
            outputs = (-1, 1, 1) if node.op_type == "ConvTranspose" else (-1, 1, 1, 1)
            _set(graph, node, 1, weight / factor.reshape(outputs))
            _set(graph, node, 2, bias / factor)
        for node in readers:
            inputs = (-1, 1, 1, 1) if node.op_type == "ConvTranspose" else (-1, 1, 1)
            _set(graph, node, 1, constants(graph)[node.input[1]].astype(np.float64) * factor.reshape(inputs))
        changed = True
    if changed:
        drop_unused_constants(graph)
    return model, changed


def _tied_tensors(graph: onnx.GraphProto) -> list[set[str]]:
    """The sets of tensors that Relu and Add connect: all of one set must be scaled alike."""
    sets: list[set[str]] = []
    for node in graph.node:
        if node.op_type in _TYING:
            tied = {*node.input, *node.output}
            tied.update(*(other for other in sets if other & tied))
            sets = [*(other for other in sets if not other & tied), tied]
    return sets


def _set(graph: onnx.GraphProto, node: onnx.NodeProto, place: int, array: npt.NDArray[np.float64]) -> None:
    part = ("weight", "bias")[place - 1]
    taken = {tensor.name for tensor in graph.initializer}
    name = next(n for n in (f"{node.name}.equal_{part}", f"{node.name}.equal_{part}_twice") if n not in taken)
    node.input[place] = add_constant(graph, name, array.astype(np.float32))


def _is_plain_convolution(node: onnx.NodeProto) -> bool:
    whole = all(attribute.i == 1 for attribute in node.attribute if attribute.name == "group")
    return node.op_type in ("ConvTranspose", "Conv") and whole


def _floored(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    return np.maximum(values.astype(np.float64), MIN_SHARE * float(values.max()) or 1.0)
