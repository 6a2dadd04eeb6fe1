"""The float32 limit of the machine: large matrix products by onnxruntime. No float32 convolution should be much faster.

It uses the library and threads that our files use, so the distance to it is due to the graph.
"""

import numpy as np

from benchmarks.suite.models import Models
from benchmarks.suite.process import Network

SIDE = 1536
FLOPS = 2 * SIDE**3


def open_network(models: Models, threads: int) -> Network:
    """Each call multiplies the same two matrices, whatever its argument."""
    import onnxruntime
    from onnx import TensorProto, helper

    shape = [SIDE, SIDE]
    a, b, c = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "abc")
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "product", [a, b], [c])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    factors = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    return lambda z: session.run(None, {"a": factors[0], "b": factors[1]})[0]
