"""Converts the network's own output to pixels: uint8, channels last, ready to show."""

import numpy as np
import onnx
from onnx import TensorProto, helper

from avatar_export.passes.editing import add_constant, give_pixels, graph_pass, image_shape
from avatar_runtime.model_file.metadata import OUTPUT_NAMES


@graph_pass
def append_uint8_head(model: onnx.ModelProto, pixel_range: tuple[float, float]) -> bool:
    """Append (x - low) * 255 / (high - low), Round (halves to even), Clip, Cast and Transpose to [batch, H, W, C].

    The same arithmetic, in the same precision, as `avatar_runtime.imaging.arrays.from_network`. Preconditions:

    1. The graph's one output is `image`, float32 [batch, C, H, W].
    """
    graph = model.graph
    old, new = OUTPUT_NAMES["float32"], OUTPUT_NAMES["uint8"]
    shape = image_shape(graph)
    if shape is None:
        return False
    low, high = pixel_range
    scalars = {"low": low, "scale": 255 / (high - low), "black": 0, "white": 255}
    names = {key: add_constant(graph, f"head.{key}", np.array(value, np.float32)) for key, value in scalars.items()}
    graph.node.extend(
        [
            helper.make_node("Sub", [old, names["low"]], ["head.above_black"], "head.sub"),
            helper.make_node("Mul", ["head.above_black", names["scale"]], ["head.exact"], "head.mul"),
            helper.make_node("Round", ["head.exact"], ["head.rounded"], "head.round"),
            helper.make_node("Clip", ["head.rounded", names["black"], names["white"]], ["head.levels"], "head.clip"),
            helper.make_node("Cast", ["head.levels"], ["head.pixels"], "head.cast", to=TensorProto.UINT8),
            helper.make_node("Transpose", ["head.pixels"], [new], "head.transpose", perm=[0, 2, 3, 1]),
        ]
    )
    give_pixels(graph, shape)
    return True
