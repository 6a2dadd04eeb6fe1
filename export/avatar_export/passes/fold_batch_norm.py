"""Folds batch norms into the convolutions before them, transposed or not."""

import numpy as np
import onnx
from onnx import helper

from avatar_export.passes.editing import add_constant, attributes, constants, graph_pass, only_consumer, replace_nodes


@graph_pass
def fold_batch_norm(model: onnx.ModelProto) -> bool:
    """Rewrite ConvTranspose or Conv -> BatchNormalization as one with a bias, computed in double precision.

    B. Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
    CVPR 2018, section 3.2. Preconditions, for each pair:

    1. The convolution is of one group, and its weight (and bias, if any) are constants.
    2. Its output goes to the BatchNormalization alone.
    3. The BatchNormalization is in inference mode (one output, training_mode 0), and its four parameters are constants.
    """
    graph, changed = model.graph, False
    for conv in [node for node in graph.node if node.op_type in ("ConvTranspose", "Conv")]:
        known = constants(graph)
        norm = only_consumer(graph, conv.output[0])
        if norm is None or norm.op_type != "BatchNormalization" or norm.input[0] != conv.output[0]:
            continue
        settings = attributes(norm)
        if len(norm.output) != 1 or settings.get("training_mode", 0) != 0 or attributes(conv).get("group", 1) != 1:
            continue
        if not all(name in known for name in [*conv.input[1:], *norm.input[1:]]):
            continue
        weight, *bias = (known[name].astype(np.float64) for name in conv.input[1:])
        gamma, beta, mean, variance = (known[name].astype(np.float64) for name in norm.input[1:])
        scale = gamma / np.sqrt(variance + np.float64(settings.get("epsilon", 1e-5)))
        axes = (-1, 1, 1) if conv.op_type == "ConvTranspose" else (-1, 1, 1, 1)  # [in, out, kh, kw] or [out, in, …]
        shift = beta + ((bias[0] if bias else 0) - mean) * scale
        folded = helper.make_node(
            conv.op_type,
            [
                conv.input[0],
                add_constant(graph, f"{conv.name}.folded_weight", (weight * scale.reshape(axes)).astype(np.float32)),
                add_constant(graph, f"{conv.name}.folded_bias", shift.astype(np.float32)),
            ],
            [norm.output[0]],
            conv.name,
        )
        folded.attribute.extend(conv.attribute)
        replace_nodes(graph, [conv, norm], [folded])
        changed = True
    return changed
