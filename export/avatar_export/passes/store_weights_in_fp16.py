"""Stores constants in half precision: half the file size, the same arithmetic."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from avatar_export.passes.editing import constants, graph_pass


@graph_pass
def store_weights_in_fp16(model: onnx.ModelProto) -> bool:
    """Store float32 arrays as float16, each with a Cast that onnxruntime folds when it loads the model.

    Arithmetic in half precision gains nothing on a CPU. Preconditions, for each constant:

    1. It is a float32 array, not a scalar, and is not an input of the graph.
    2. All its values are within the range of float16.
    """
    graph, casts = model.graph, []
    known = constants(graph)
    largest = np.finfo(np.float16).max
    for tensor in graph.initializer:
        array = known.get(tensor.name)
        if array is None or array.dtype != np.float32 or array.ndim == 0 or not (np.abs(array) <= largest).all():
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return bool(casts)
