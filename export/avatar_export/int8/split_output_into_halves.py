"""Stores a quantized network's last sums in two halves of eight bits each, and makes pixels of them."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from avatar_export.int8.quantize_layers import MOVING
from avatar_export.passes.editing import (
    add_constant,
    attributes,
    constants,
    give_pixels,
    graph_pass,
    image_shape,
    only_consumer,
    replace_nodes,
)
from avatar_runtime.model_file.metadata import OUTPUT_NAMES

HALF_STEP = np.float32(1 / 508)
"""Step of a half's sigmoid, which is from 0 to 1/2: 254 steps. With 255, half of the levels would lie midway between
two integers, which processors round differently."""


@graph_pass
def split_output_into_halves(model: onnx.ModelProto) -> bool:
    """Give the last Conv each channel twice, the second time negated, and compute pixels from the two.

    In uint8 a step of the last sums x is two levels wide where tanh is steepest, which makes faces grainy. But
    tanh(x) = tanh(min(x, 0)) - tanh(min(-x, 0)), and uint8 with zero point 255 holds min(., 0): two halves with half
    the step. For pixels in [-1, 1], level = 127.5 (tanh(x) + 1) and tanh(y) = 2 sigmoid(2y) - 1, so level =
    127.5 + 255 (sigmoid(2 min(x, 0)) - sigmoid(2 min(-x, 0))). onnxruntime turns the sigmoid into a table of 256
    entries; the difference is a 1x1 Conv. Preconditions:

    1. The graph's one output is `image`, float32 [batch, C, H, W].
    2. It comes from a Tanh of a DequantizeLinear of a Conv's QuantizeLinear to uint8, both with the same constant step
       and zero point. Between the two there is nothing but `MOVING` operators, and each tensor is read once.
    3. Input, weight and bias (if any) of the Conv come from DequantizeLinear, the last two along axis 0; their integers
       and all steps and zero points are constants, and the zero points of weight and bias are 0.
    """
    graph = model.graph
    shape, ends = image_shape(graph), _ends(graph)
    if shape is None or ends is None:
        return False
    conv, quantize, dequantize, tanh = ends
    known = constants(graph)
    makers = {output: node for node in graph.node for output in node.output}
    reads = [makers.get(name) for name in conv.input]
    if not all(
        read is not None and read.op_type == "DequantizeLinear" and all(name in known for name in read.input[part:])
        for read, part in zip(reads, (1, 0, 0), strict=False)
    ):
        return False
    source, *parameters = [read for read in reads if read is not None]
    if not all(
        attributes(read).get("axis") == 0
        and (len(read.input) < 3 or not known[read.input[2]].any())
        and only_consumer(graph, read.output[0]) is not None
        for read in parameters
    ):
        return False
    weight, steps = known[parameters[0].input[0]].astype(np.int8), known[parameters[0].input[1]]
    channels = len(weight)
    bias = known[parameters[1].input[0]].astype(np.int32) if len(parameters) == 2 else np.zeros(channels, np.int32)
    step, zero = (known[name].item() for name in quantize.input[1:])
    half = np.array(max(zero, 255 - zero) * step / 255, np.float32)
    both = np.concatenate([steps.reshape(-1)] * 2)

    def constant(name: str, array: npt.NDArray[np.generic]) -> str:
        return add_constant(graph, f"head.{name}", array)

    def read(name: str, integers: npt.NDArray[np.signedinteger[Any]], steps: npt.NDArray[np.generic]) -> onnx.NodeProto:
        zeros = constant(f"{name}.zeros", np.zeros(len(integers), integers.dtype))
        inputs = [constant(f"{name}.integers", integers), constant(f"{name}.steps", steps), zeros]
        return helper.make_node("DequantizeLinear", inputs, [f"head.{name}"], f"head.{name}", axis=0)

    def encoding(name: str, step: npt.NDArray[np.generic], zero: int) -> list[str]:
        return [constant(f"{name}.step", step), constant(f"{name}.zero", np.array(zero, np.uint8))]

    fall, twice = encoding("halves", half, 255), encoding("twice", 2 * half, 255)
    curve, level = encoding("curve", np.array(HALF_STEP), 0), encoding("level", np.array(1 / 255, np.float32), 0)
    difference = np.concatenate([np.eye(channels), -np.eye(channels)], axis=1).astype(np.int8)[:, :, None, None]
    middle = np.full(channels, round(0.5 / HALF_STEP), np.int32)
    one = np.ones(channels, np.float32)
    doubled = helper.make_node("Conv", [conv.input[0], "head.weight", "head.bias"], ["head.sums"], conv.name)
    doubled.attribute.extend(conv.attribute)
    replace_nodes(
        graph,
        [conv, quantize],
        [
            read("weight", np.concatenate([weight, -weight]), both),
            read("bias", np.concatenate([bias, -bias]), both * known[source.input[1]].reshape(-1)),
            doubled,
            helper.make_node("QuantizeLinear", ["head.sums", *fall], ["head.halves"], "head.halves"),
            helper.make_node("DequantizeLinear", ["head.halves", *twice], ["head.twice"], "head.twice"),
            helper.make_node("Sigmoid", ["head.twice"], ["head.sigmoid"], "head.sigmoid"),
            helper.make_node("QuantizeLinear", ["head.sigmoid", *curve], ["head.curve"], "head.curve"),
            helper.make_node("DequantizeLinear", ["head.curve", *curve], ["head.exact"], "head.exact"),
            read("difference", difference, one),
            read("middle", middle, one * HALF_STEP),
            helper.make_node(
                "Conv",
                ["head.exact", "head.difference", "head.middle"],
                ["head.level"],
                "head.conv",
                kernel_shape=[1, 1],
            ),
            helper.make_node("QuantizeLinear", ["head.level", *level], [quantize.output[0]], "head.levels"),
        ],
    )
    pixels = helper.make_node(
        "Transpose", [dequantize.input[0]], [OUTPUT_NAMES["uint8"]], "head.transpose", perm=[0, 2, 3, 1]
    )
    replace_nodes(graph, [dequantize, tanh], [pixels])
    for old in parameters:
        graph.node.remove(old)
    give_pixels(graph, shape)
    return True


def _ends(graph: onnx.GraphProto) -> tuple[onnx.NodeProto, onnx.NodeProto, onnx.NodeProto, onnx.NodeProto] | None:
    """The last Conv, its QuantizeLinear, and the DequantizeLinear and Tanh at the end; None if precondition 2 fails."""
    makers = {output: node for node in graph.node for output in node.output}
    known = constants(graph)
    path = [makers.get(OUTPUT_NAMES["float32"])]
    while path[-1] is not None and path[-1].op_type != "Conv":
        path.append(makers.get(path[-1].input[0]))
    nodes = [node for node in path if node is not None]
    kinds = [node.op_type for node in nodes]
    if kinds[:2] != ["Tanh", "DequantizeLinear"] or kinds[-2:] != ["QuantizeLinear", "Conv"]:
        return None
    tanh, dequantize, *moving, quantize, conv = nodes
    if (
        any(node.op_type not in MOVING or node.op_type == "Concat" for node in moving)
        or any(only_consumer(graph, node.output[0]) is None for node in nodes[1:])
        or len(quantize.input) != 3
        or quantize.input[1:] != dequantize.input[1:]
        or any(known.get(name, np.zeros(0)).size != 1 for name in quantize.input[1:])
        or known[quantize.input[2]].dtype != np.uint8
    ):
        return None
    return conv, quantize, dequantize, tanh
