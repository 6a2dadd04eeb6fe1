"""Fixes the batch size at 1: accelerators compile a graph for fixed shapes."""

import onnx

from avatar_export.passes.editing import graph_pass


@graph_pass
def fix_batch_to_one(model: onnx.ModelProto) -> bool:
    """Fix the batch size of every input and output at 1. Preconditions:

    1. The first dimension of each has a name instead of a size, and all have the same name.
    """
    batches = [value.type.tensor_type.shape.dim[:1] for value in [*model.graph.input, *model.graph.output]]
    names = {dim[0].dim_param if dim else "" for dim in batches}
    if len(names) != 1 or "" in names:
        return False
    for dim in batches:
        dim[0].dim_value = 1
    del model.graph.value_info[:]
    return True
