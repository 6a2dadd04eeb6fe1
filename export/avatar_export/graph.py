"""Builds the plain ONNX graph of a generator, one node for each layer.

MindSpore's own exporter writes transposed convolutions with a fixed batch and a malformed `output_shape` that
onnxruntime refuses, so the graph is built here. The passes in `pipeline` then rewrite it.
"""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from avatar_export.source.checkpoint import GeneratorWeights
from avatar_runtime.model_file.metadata import INPUT_NAME, OUTPUT_NAMES

OPSET = 17
"""onnxruntime reads it since 1.12; nothing newer is needed."""
IR_VERSION = 8
BATCH_NORM_EPSILON = 1e-5  # nn.BatchNorm2d's default


def plain_graph(weights: GeneratorWeights) -> onnx.ModelProto:
    """The graph z float32 [batch, latent_dim] -> image float32 [batch, channels, image_size, image_size], after tanh.

    ConvTranspose, BatchNormalization, Relu … ConvTranspose, Tanh, as in the DCGAN paper, section 3; before them
    a Gemm if the checkpoint has a latent map.
    """
    output = OUTPUT_NAMES["float32"]
    column_shape = np.array([-1, weights.latent_dim, 1, 1], np.int64)
    initializers = [numpy_helper.from_array(column_shape, "z_shape")]
    nodes, latent = [], INPUT_NAME
    if weights.latent_map is not None:
        latent = "mapped"
        parts = {"weight": weights.latent_map.weight, "bias": weights.latent_map.bias}
        initializers += [numpy_helper.from_array(array, f"latent_map.{part}") for part, array in parts.items()]
        inputs = [INPUT_NAME, *(f"latent_map.{part}" for part in parts)]
        nodes.append(helper.make_node("Gemm", inputs, [latent], "latent_map", transB=1))
    nodes.append(helper.make_node("Reshape", [latent, "z_shape"], ["column"], "z_as_image"))
    current = "column"
    for i, layer in enumerate(weights.layers):
        name = f"layer{i}"
        initializers.append(numpy_helper.from_array(layer.weight, f"{name}.weight"))
        geometry: dict[str, Any] = (
            {"strides": [1, 1], "pads": [0] * 4} if i == 0 else {"strides": [2, 2], "pads": [1] * 4}
        )
        nodes.append(
            helper.make_node(
                "ConvTranspose",
                [current, f"{name}.weight"],
                [f"{name}.conv_out"],
                f"{name}.conv",
                kernel_shape=[4, 4],
                **geometry,
            )
        )
        current = f"{name}.conv_out"
        if layer.norm is None:
            continue
        norm = {"scale": layer.norm.gamma, "bias": layer.norm.beta, "mean": layer.norm.mean, "var": layer.norm.variance}
        initializers += [numpy_helper.from_array(array, f"{name}.{kind}") for kind, array in norm.items()]
        nodes.append(
            helper.make_node(
                "BatchNormalization",
                [current, *(f"{name}.{kind}" for kind in norm)],
                [f"{name}.norm_out"],
                f"{name}.norm",
                epsilon=BATCH_NORM_EPSILON,
            )
        )
        nodes.append(helper.make_node("Relu", [f"{name}.norm_out"], [f"{name}.relu_out"], f"{name}.relu"))
        current = f"{name}.relu_out"
    nodes.append(helper.make_node("Tanh", [current], [output], "tanh"))
    side = weights.image_size
    graph = helper.make_graph(
        nodes,
        "generator",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, ["batch", weights.latent_dim])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", weights.channels, side, side])],
        initializers,
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="avatar-edge",
    )
