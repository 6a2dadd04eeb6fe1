"""Fuses a quantized network's tanh and its conversion to pixels into one lookup table."""

import numpy as np
import onnx
from onnx import helper

from avatar_export.passes.editing import add_constant, constants, give_pixels, graph_pass, image_shape, replace_nodes
from avatar_runtime.model_file.metadata import OUTPUT_NAMES


@graph_pass
def fuse_tanh_and_pixels(model: onnx.ModelProto) -> bool:
    """Rewrite DequantizeLinear -> Tanh as DequantizeLinear -> Sigmoid -> QuantizeLinear -> Transpose to [N, H, W, C].

    For pixels in [-1, 1], level = 127.5 (tanh(x) + 1) = 255 sigmoid(2x): the input is read with twice its scale, and
    the output, quantized in steps of 1/255, is the level. onnxruntime turns the three nodes into one table of 256
    entries. Preconditions:

    1. The graph's one output is `image`, float32 [batch, C, H, W].
    2. It comes from a Tanh of a DequantizeLinear with constant scale, whose uint8 input nothing else reads.
    """
    graph = model.graph
    old, new = OUTPUT_NAMES["float32"], OUTPUT_NAMES["uint8"]
    shape = image_shape(graph)
    if shape is None:
        return False
    makers = {output: node for node in graph.node for output in node.output}
    tanh = makers.get(old)
    read = makers.get(tanh.input[0]) if tanh is not None and tanh.op_type == "Tanh" else None
    scale = constants(graph).get(read.input[1]) if read is not None and read.op_type == "DequantizeLinear" else None
    if tanh is None or read is None or scale is None:
        return False
    doubled = add_constant(graph, "head.doubled_scale", 2 * scale)
    step = add_constant(graph, "head.step", np.array(1 / 255, np.float32))
    black = add_constant(graph, "head.black", np.array(0, np.uint8))
    replace_nodes(
        graph,
        [read, tanh],
        [
            helper.make_node("DequantizeLinear", [read.input[0], doubled, read.input[2]], ["head.twice"], "head.twice"),
            helper.make_node("Sigmoid", ["head.twice"], ["head.exact"], "head.sigmoid"),
            helper.make_node("QuantizeLinear", ["head.exact", step, black], ["head.pixels"], "head.levels"),
            helper.make_node("Transpose", ["head.pixels"], [new], "head.transpose", perm=[0, 2, 3, 1]),
        ],
    )
    give_pixels(graph, shape)
    return True
