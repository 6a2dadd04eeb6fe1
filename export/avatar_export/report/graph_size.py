"""Counts how large a graph is and how much it computes."""

from dataclasses import dataclass
from math import prod

import onnx

from avatar_export.passes.fix_batch_to_one import fix_batch_to_one


@dataclass(frozen=True)
class Figures:
    """Sizes of one graph."""

    nodes: int
    parameters: int
    """Numbers in its constants, without integers such as shapes."""
    size: int
    """Bytes of its file, without metadata."""
    flops: int
    """Multiplications and additions in its convolutions and matrix products, for one image."""


def figures(model: onnx.ModelProto) -> Figures:
    """Count the figures of a graph; shapes are inferred for a batch of one."""
    constants = [tensor for tensor in model.graph.initializer if tensor.data_type != onnx.TensorProto.INT64]
    return Figures(
        nodes=len(model.graph.node),
        parameters=sum(prod(tensor.dims) for tensor in constants),
        size=model.ByteSize(),
        flops=_flops(onnx.shape_inference.infer_shapes(fix_batch_to_one(model)[0]).graph),
    )


def _flops(graph: onnx.GraphProto) -> int:
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        shapes[value.name] = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    total = 0
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            # Each number of the output (of the input, if transposed) takes part in C * kh * kw products.
            side = node.output[0] if node.op_type == "Conv" else node.input[0]
            total += 2 * prod(shapes[side]) * prod(shapes[node.input[1]][1:])
        elif node.op_type in ("Gemm", "MatMul"):
            total += 2 * prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return total
