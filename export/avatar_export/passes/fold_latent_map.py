"""Folds an affine map of the latent into the first layer, once that is a matrix product."""

import numpy as np
import onnx
from onnx import helper

from avatar_export.passes.editing import add_constant, attributes, constants, graph_pass, only_consumer, replace_nodes


@graph_pass
def fold_latent_map(model: onnx.ModelProto) -> bool:
    """Rewrite Gemm(Gemm(x, A, a), B, b) as Gemm(x, AB, aB + b), in double precision.

    The new bias has a number for each place of each channel, which a batch norm could not hold. Preconditions:

    1. The output of a Gemm goes to one other Gemm alone, as its first input; the matrix and bias (if any) of both are
       constants.
    2. Both have alpha 1, beta 1 and no transA; transB does not matter.
    """
    graph = model.graph
    for first in [node for node in graph.node if node.op_type == "Gemm"]:
        known = constants(graph)
        second = only_consumer(graph, first.output[0])
        if second is None or second.op_type != "Gemm" or second.input[0] != first.output[0]:
            continue
        if not all(name in known for gemm in (first, second) for name in gemm.input[1:]):
            continue
        settings = [{"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0, **attributes(n)} for n in (first, second)]
        if any((each["alpha"], each["beta"], each["transA"]) != (1.0, 1.0, 0) for each in settings):
            continue
        (a, *a_bias), (b, *b_bias) = (
            [known[name].astype(np.float64) for name in gemm.input[1:]] for gemm in (first, second)
        )
        a, b = a.T if settings[0]["transB"] else a, b.T if settings[1]["transB"] else b
        bias = sum(b_bias, sum(a_bias, np.zeros(len(b))) @ b)
        inputs = [
            first.input[0],
            add_constant(graph, f"{second.name}.mapped_matrix", (a @ b).astype(np.float32)),
            add_constant(graph, f"{second.name}.mapped_bias", np.broadcast_to(bias, b.shape[1:]).astype(np.float32)),
        ]
        replace_nodes(graph, [first, second], [helper.make_node("Gemm", inputs, [second.output[0]], second.name)])
        return True
    return False
