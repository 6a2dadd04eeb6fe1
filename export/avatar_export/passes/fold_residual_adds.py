"""Folds the sums of residual blocks into the layers that read them, so that no sum is ever rounded to eight bits."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from avatar_export.passes.editing import (
    add_constant,
    attributes,
    constants,
    graph_pass,
    is_convolution,
    is_rectifier,
    only_consumer,
)


@graph_pass
def fold_residual_adds(model: onnx.ModelProto) -> bool:
    """Rewrite layer(x + W h + b) as layer'(Concat(x, h)), in double precision: convolution and sum are both linear.

    b becomes a channel of h that is 1 everywhere, so that a padding of zeros stays one. Preconditions, for all Adds of
    the graph:

    1. Its second input comes from a 1x1 Conv of one group, with constant weight and bias, of a Relu (or Clip) of a Conv
       of one group with constant weight and bias; each of these three is read once.
    2. Its output is read by Conv and ConvTranspose of one group with constant weights only.
    """
    graph = model.graph
    adds = [node for node in graph.node if node.op_type == "Add"]
    known, makers = constants(graph), {output: node for node in graph.node for output in node.output}
    if not adds or not all(_holds(graph, add, known, makers) for add in adds):
        return False
    for add in adds:
        conv = makers[add.input[1]]
        relu = makers[conv.input[0]]
        weight, bias = (known[name].astype(np.float64) for name in conv.input[1:])
        _give_a_channel_of_ones(graph, makers[relu.input[0]])
        matrix = np.hstack([np.eye(len(weight)), weight[:, :, 0, 0], bias[:, None]])  # x + W h + b = matrix @ Concat
        joined = f"{add.name}.parts"
        for reader in [node for node in graph.node if add.output[0] in node.input]:
            old = known[reader.input[1]].astype(np.float64)
            spelled = "ckij,cm->mkij" if reader.op_type == "ConvTranspose" else "kcij,cm->kmij"
            new = np.einsum(spelled, old, matrix, optimize=True).astype(np.float32)
            reader.input[0], reader.input[1] = joined, add_constant(graph, f"{reader.name}.residual_weight", new)
        add.CopyFrom(helper.make_node("Concat", [add.input[0], relu.output[0]], [joined], joined, axis=1))
        graph.node.remove(conv)
    return True


def _holds(
    graph: onnx.GraphProto,
    add: onnx.NodeProto,
    known: Mapping[str, npt.NDArray[np.generic]],
    makers: Mapping[str, onnx.NodeProto],
) -> bool:

    def is_conv(node: onnx.NodeProto) -> bool:
        return node.op_type == "Conv" and is_convolution(node, known, inputs=3)

    chain, value = [], add.input[1]
    for fits in (is_conv, is_rectifier, is_conv):
        node = makers.get(value)
        if node is None or not fits(node) or only_consumer(graph, value) is None:
            return False
        chain.append(node)
        value = node.input[0]
    plain = {"kernel_shape": [1, 1], "strides": [1, 1], "pads": [0] * 4, "group": 1, "dilations": [1, 1]}
    readers = [node for node in graph.node if add.output[0] in node.input]
    return (
        {**plain, **attributes(chain[0])} == plain
        and add.output[0] not in {output.name for output in graph.output}
        and all(node.input[0] == add.output[0] and add.output[0] not in node.input[1:] for node in readers)
        and all(is_convolution(node, known, inputs=2) for node in readers)
    )


def _give_a_channel_of_ones(graph: onnx.GraphProto, conv: onnx.NodeProto) -> None:
    known = constants(graph)
    weight, bias = (known[name] for name in conv.input[1:])
    blank = np.zeros((1, *weight.shape[1:]), weight.dtype)
    conv.input[1] = add_constant(graph, f"{conv.name}.weight_and_one", np.concatenate([weight, blank]))
    conv.input[2] = add_constant(graph, f"{conv.name}.bias_and_one", np.append(bias, np.float32(1)))
