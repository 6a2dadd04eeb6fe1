"""Builds the plain ONNX graph of a generator, one node for each layer.

MindSpore's own exporter writes transposed convolutions with a fixed batch and a malformed `output_shape` that
onnxruntime refuses, so the graph is built here. The passes in `pipeline` then rewrite it.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
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
    nodes: list[onnx.NodeProto] = []
    arrays: dict[str, npt.NDArray[Any]] = {"z_shape": np.array([-1, weights.latent_dim, 1, 1], np.int64)}

    def add(kind: str, inputs: list[str], output: str, name: str, **settings: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], name, **settings))
        return output

    current = INPUT_NAME
    if weights.latent_map is not None:
        arrays |= {"latent_map.weight": weights.latent_map.weight, "latent_map.bias": weights.latent_map.bias}
        current = add("Gemm", [current, "latent_map.weight", "latent_map.bias"], "mapped", "latent_map", transB=1)
    current = add("Reshape", [current, "z_shape"], "column", "z_as_image")
    for i, layer in enumerate(weights.layers):
        name = f"layer{i}"
        arrays[f"{name}.weight"] = layer.weight
        geometry = {"kernel_shape": [4, 4], "strides": [1, 1] if i == 0 else [2, 2], "pads": [0 if i == 0 else 1] * 4}
        current = add("ConvTranspose", [current, f"{name}.weight"], f"{name}.conv_out", f"{name}.conv", **geometry)
        if layer.norm is None:
            continue
        norm = {"scale": layer.norm.gamma, "bias": layer.norm.beta, "mean": layer.norm.mean, "var": layer.norm.variance}
        inputs = [current, *(f"{name}.{kind}" for kind in norm)]
        arrays |= dict(zip(inputs[1:], norm.values(), strict=True))
        current = add("BatchNormalization", inputs, f"{name}.norm_out", f"{name}.norm", epsilon=BATCH_NORM_EPSILON)
        current = add("Relu", [current], f"{name}.relu_out", f"{name}.relu")
    output = add("Tanh", [current], OUTPUT_NAMES["float32"], "tanh")
    side = weights.image_size
    graph = helper.make_graph(
        nodes,
        "generator",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, ["batch", weights.latent_dim])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", weights.channels, side, side])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="avatar-edge",
    )
