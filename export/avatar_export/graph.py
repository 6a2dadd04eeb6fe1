"""Builds the plain ONNX graph of a generator, one node for each layer.

MindSpore's own exporter writes transposed convolutions with a fixed batch and a malformed `output_shape` that
onnxruntime refuses, so the graph is built here. The passes in `pipeline` then rewrite it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from avatar_export.source.checkpoint import BOUND, BatchNorm, GeneratorWeights
from avatar_runtime.model_file.metadata import INPUT_NAME, OUTPUT_NAMES

OPSET = 17
"""onnxruntime reads it since 1.12; nothing newer is needed."""
IR_VERSION = 8
BATCH_NORM_EPSILON = 1e-5  # nn.BatchNorm2d's default


def plain_graph(weights: GeneratorWeights) -> onnx.ModelProto:
    """The graph z float32 [batch, latent_dim] -> image float32 [batch, channels, image_size, image_size], after tanh.

    ConvTranspose, BatchNormalization, Relu … ConvTranspose, Tanh, as in the DCGAN paper, section 3; before them
    a Gemm if the checkpoint has a latent map, and after a Relu the residual blocks of a refined generator. A bounded
    generator has a Clip for each Relu.
    """
    output, network = OUTPUT_NAMES["float32"], _Network(weights.bounded)
    latent = INPUT_NAME
    if weights.latent_map is not None:
        arrays = {"weight": weights.latent_map.weight, "bias": weights.latent_map.bias}
        latent = network.add("Gemm", "latent_map", [latent], arrays, transB=1)
    column_shape = np.array([-1, weights.latent_dim, 1, 1], np.int64)
    current = network.add("Reshape", "z_as_image", [latent], {"shape": column_shape})
    for i, layer in enumerate(weights.layers):
        name = f"layer{i}"
        geometry = {"strides": [1, 1], "pads": [0] * 4} if i == 0 else {"strides": [2, 2], "pads": [1] * 4}
        kernel = {"weight": layer.weight}
        current = network.add("ConvTranspose", f"{name}.conv", [current], kernel, kernel_shape=[4, 4], **geometry)
        if layer.norm is not None:
            current = network.activation(f"{name}.relu", network.norm(f"{name}.norm", current, layer.norm))
        for j, block in enumerate(layer.blocks):
            name, x = f"layer{i}.block{j}", current
            kernel = {"weight": block.conv1}
            current = network.add("Conv", f"{name}.conv1", [current], kernel, kernel_shape=[3, 3], pads=[1] * 4)
            current = network.activation(f"{name}.relu1", network.norm(f"{name}.norm1", current, block.norm1))
            kernel = {"weight": block.conv2}
            current = network.add("Conv", f"{name}.conv2", [current], kernel, kernel_shape=[1, 1], pads=[0] * 4)
            current = network.add("Add", f"{name}.add", [x, network.norm(f"{name}.norm2", current, block.norm2)])
    network.nodes.append(helper.make_node("Tanh", [current], [output], "tanh"))
    side = weights.image_size
    graph = helper.make_graph(
        network.nodes,
        "generator",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, ["batch", weights.latent_dim])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", weights.channels, side, side])],
        network.initializers,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="avatar-edge"
    )


class _Network:
    """Nodes and initializers as they are added."""

    def __init__(self, bounded: bool) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.bounded = bounded

    def add(self, kind: str, name: str, inputs: Sequence[str], arrays: dict[str, npt.NDArray[Any]] | None = None,
            **attributes: Any) -> str:  # fmt: skip
        """Add a node that reads tensors, then arrays of its own; returns the name of its output."""
        arrays = arrays or {}
        self.initializers += [numpy_helper.from_array(array, f"{name}.{part}") for part, array in arrays.items()]
        names = [*inputs, *(f"{name}.{part}" for part in arrays)]
        self.nodes.append(helper.make_node(kind, names, [f"{name}.out"], name, **attributes))
        return f"{name}.out"

    def activation(self, name: str, value: str) -> str:
        """Add a Relu, or what a bounded generator has instead."""
        if not self.bounded:
            return self.add("Relu", name, [value])
        return self.add("Clip", name, [value], {"low": np.array(0, np.float32), "high": np.array(BOUND, np.float32)})

    def norm(self, name: str, value: str, norm: BatchNorm) -> str:
        """Add a batch norm."""
        arrays = {"scale": norm.gamma, "bias": norm.beta, "mean": norm.mean, "var": norm.variance}
        return self.add("BatchNormalization", name, [value], arrays, epsilon=BATCH_NORM_EPSILON)
