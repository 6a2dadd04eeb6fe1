"""A tiny image classifier: scaling and resizing of its own, then padded convolutions with random weights."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTHS = (8, 12, 16, 24)
TENSORS = ("relu2", "relu3")
"""The activations of stride 8 and 16."""


def write_classifier(path: Path, seed: int = 0) -> Path:
    """A classifier from `images` uint8 [n, h, w, 3] to `features` [n, 24]."""
    rng = np.random.default_rng(seed)
    nodes = [
        helper.make_node("Transpose", ["images"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["nchw"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "white"], ["unit"]),
        helper.make_node("Resize", ["unit", "", "", "side"], ["x0"], mode="linear", axes=[2, 3]),
    ]
    weights = {"white": np.float32(255), "side": np.array([64, 64], np.int64)}
    weights["pads"] = np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
    before, channels = "x0", 3
    for i, width in enumerate(WIDTHS):
        kernel = rng.standard_normal((width, channels, 3, 3)) * np.sqrt(2 / (9 * channels))
        weights[f"w{i}"], weights[f"b{i}"] = kernel.astype(np.float32), np.zeros(width, np.float32)
        nodes += [
            helper.make_node("Pad", [before, "pads"], [f"pad{i}"]),
            helper.make_node("Conv", [f"pad{i}", f"w{i}", f"b{i}"], [f"conv{i}"], strides=[2, 2]),
            helper.make_node("Relu", [f"conv{i}"], [f"relu{i}"]),
        ]
        before, channels = f"relu{i}", width
    nodes += [
        helper.make_node("GlobalAveragePool", [before], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", WIDTHS[-1]])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path
