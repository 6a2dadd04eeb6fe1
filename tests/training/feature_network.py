"""A tiny feature network: the mean of each cell of a 4x4 mosaic of the image, made with onnx alone."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tiny_model import model_of


def write_feature_network(
    path: Path, shape: tuple[Any, ...] = ("n", "h", "w", 3), element: int = TensorProto.UINT8, scale: float = 1.0
) -> Path:
    """A network from images of a shape, channels where the 3 is, to features float32 [N, 48], times scale."""
    channels_last = shape[3] == 3
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["ordered"], perm=[0, 3, 1, 2] if channels_last else [0, 1, 2, 3]),
        helper.make_node("Resize", ["ordered", "", "", "sizes"], ["mosaic"], mode="linear", axes=[2, 3], antialias=1),
        helper.make_node("Flatten", ["mosaic"], ["flat"]),
        helper.make_node("Mul", ["flat", "scale"], ["features"]),
    ]
    images = helper.make_tensor_value_info("images", element, shape)
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, None])
    constants = {"sizes": np.array([4, 4], np.int64), "scale": np.float32(scale)}
    model = model_of(nodes, images, [features], constants, opset=18)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path
