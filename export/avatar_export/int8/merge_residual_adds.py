"""Turns the sum at the end of a residual block into a convolution, which adds in int32 what is uint8 on both sides."""

import numpy as np
import onnx
from onnx import helper

from avatar_export.passes.editing import (
    add_constant,
    attributes,
    constants,
    copy_of,
    drop_unused_constants,
    only_consumer,
    replace_nodes,
)


def merge_residual_adds(model: onnx.ModelProto) -> tuple[onnx.ModelProto, bool]:
    """Rewrite Add(x, Conv 1x1(h)) as Concat(x, h) -> Conv 1x1, whose weight for x is the identity.

    A sum of two quantized tensors would need scales of its own, and rounding once more. Preconditions, for each Add:

    1. Its second input is the output of a Conv, which nothing else reads; the first is no constant.
    2. That Conv has a 1x1 kernel, one group, no padding and no stride, and a constant weight (and bias, if any).
    """
    model = copy_of(model)
    graph, changed = model.graph, False
    for add in [node for node in graph.node if node.op_type == "Add"]:
        known = constants(graph)
        x, added = add.input
        conv = next((node for node in graph.node if added in node.output), None)
        if conv is None or conv.op_type != "Conv" or only_consumer(graph, added) != add or x in known:
            continue
        settings = {"kernel_shape": [1, 1], "strides": [1, 1], "pads": [0] * 4, "group": 1, "dilations": [1, 1]}
        if {**settings, **attributes(conv)} != settings or not all(name in known for name in conv.input[1:]):
            continue
        weight, *bias = (known[name] for name in conv.input[1:])  # [out, in, 1, 1]
        identity = np.eye(len(weight), dtype=weight.dtype)[:, :, None, None]
        both = f"{conv.name}.both"
        inputs = [both, add_constant(graph, f"{conv.name}.residual_weight", np.concatenate([identity, weight], axis=1))]
        if bias:
            inputs.append(conv.input[2])
        new = [
            helper.make_node("Concat", [x, conv.input[0]], [both], both, axis=1),
            helper.make_node("Conv", inputs, [add.output[0]], conv.name, kernel_shape=[1, 1], pads=[0] * 4),
        ]
        replace_nodes(graph, [conv, add], new)
        changed = True
    if changed:
        drop_unused_constants(graph)
    return model, changed
