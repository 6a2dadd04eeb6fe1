"""Turns the first transposed convolution, of a 1x1 image, into one matrix product."""

import numpy as np
import onnx
from onnx import helper

from avatar_export.passes.editing import add_constant, attributes, constants, graph_pass, only_consumer, replace_nodes


@graph_pass
def project_latent_to_gemm(model: onnx.ModelProto) -> bool:
    """Rewrite Reshape to [-1, C, 1, 1] -> ConvTranspose as Gemm -> Reshape to [-1, M, kh, kw].

    A transposed convolution of a single pixel is a sum of kernels weighted by the channels: the "project and reshape"
    of the DCGAN paper (Radford et al., 2016, figure 1). Preconditions:

    1. A Reshape to the constant shape [-1, C, 1, 1] of a rank-2 input of the graph, or of a Gemm, with C columns.
    2. Its output goes to one ConvTranspose alone, of one group, with constant weight and bias.
    3. That ConvTranspose has no padding, no output padding, no dilation and no output_shape; strides do not matter.
    """
    graph = model.graph
    known = constants(graph)
    columns = {
        value.name: value.type.tensor_type.shape.dim[1].dim_value
        for value in graph.input
        if len(value.type.tensor_type.shape.dim) == 2
    }
    for gemm in [node for node in graph.node if node.op_type == "Gemm" and node.input[1] in known]:
        columns[gemm.output[0]] = known[gemm.input[1]].shape[0 if attributes(gemm).get("transB", 0) else 1]
    for reshape in [node for node in graph.node if node.op_type == "Reshape" and node.input[0] in columns]:
        shape = known.get(reshape.input[1])
        if shape is None or shape.tolist() != [-1, columns[reshape.input[0]], 1, 1]:
            continue
        conv = only_consumer(graph, reshape.output[0])
        if conv is None or conv.op_type != "ConvTranspose" or not all(name in known for name in conv.input[1:]):
            continue
        settings = attributes(conv)
        if (
            any(settings.get("pads", [0]))
            or any(settings.get("output_padding", [0]))
            or any(d != 1 for d in settings.get("dilations", [1]))
            or settings.get("auto_pad", b"NOTSET") != b"NOTSET"
            or "output_shape" in settings
            or settings.get("group", 1) != 1
        ):
            continue
        weight = known[conv.input[1]]  # [C, M, kh, kw]
        _, maps, height, width = weight.shape
        inputs = [reshape.input[0], add_constant(graph, f"{conv.name}.matrix", weight.reshape(len(weight), -1))]
        if len(conv.input) == 3:
            bias = np.repeat(known[conv.input[2]], height * width)
            inputs.append(add_constant(graph, f"{conv.name}.matrix_bias", bias))
        image_shape = add_constant(graph, f"{conv.name}.image_shape", np.array([-1, maps, height, width], np.int64))
        product = f"{conv.name}.product"
        new = [
            helper.make_node("Gemm", inputs, [product], f"{conv.name}.gemm"),
            helper.make_node("Reshape", [product, image_shape], [conv.output[0]], f"{conv.name}.reshape"),
        ]
        replace_nodes(graph, [reshape, conv], new)
        return True
    return False
