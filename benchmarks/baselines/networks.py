"""The networks that are compared, each opened in the process that calls it: what it returns draws latents.

Libraries are imported late: no process loads another contender's.
"""

from functools import partial
from typing import Any

import numpy as np

from benchmarks.suite.models import WEIGHTS, Models
from benchmarks.suite.process import Network

SIDE = 1536
FLOPS = 2 * SIDE**3
"""Of one call of `open_machine_limit`."""


def open_mindspore(models: Models, threads: int, exact_tanh: bool = False) -> Network:
    """The original in graph mode, with the settings of avatar-train's CPU device: without AVX2 it is far slower."""
    from mindspore import Tensor, device_context

    from avatar_training.run_folder.checkpoint import generator_cell

    cell = generator_cell(dict(np.load(models.folder / WEIGHTS)), *models.architecture, exact_tanh=exact_tanh)
    device_context.cpu.op_tuning.threads_num(threads)
    return lambda z: cell(Tensor(z[..., None, None])).asnumpy()


def open_pytorch(models: Models, threads: int, **options: bool) -> Network:
    """PyTorch as its users run it."""
    from benchmarks.baselines.pytorch import open_network

    return open_network(models, threads, **options)


def open_openvino(models: Models, threads: int, file: str) -> Network:
    """OpenVINO, compiled for latency and for float32 like the others: by default it may compute in bfloat16."""
    import openvino

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(models.folder / file), "CPU", settings)
    return lambda z: compiled(z)[0]


def open_onnxruntime(models: Models, threads: int, file: str, optimization: str = "ORT_ENABLE_ALL") -> Network:
    """onnxruntime as most people use it: default settings but for the number of threads."""
    session = bare_session(models.folder / file, threads, optimization)
    return lambda z: session.run(None, {"z": z})[0]


def open_our_file(models: Models, threads: int, file: str) -> Network:
    """A file of avatar-export in the runtime's own session, with all its checks."""
    from avatar_runtime.session import open_session, run

    return partial(run, open_session(models.folder / file, threads=threads))


def open_machine_limit(models: Models, threads: int) -> Network:
    """The float32 limit of the machine: each call multiplies the same two large matrices, whatever its argument.

    No float32 convolution should be much faster. The library and the threads are those of our files, so the distance to
    the limit is due to the graph.
    """
    from onnx import TensorProto, helper

    shape = [SIDE, SIDE]
    a, b, c = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "abc")
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "product", [a, b], [c])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = bare_session(model.SerializeToString(), threads)
    factors = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    return lambda z: session.run(None, {"a": factors[0], "b": factors[1]})[0]


def bare_session(model: Any, threads: int, optimization: str = "ORT_ENABLE_ALL") -> Any:
    """An onnxruntime session of a file or its bytes; optimization is a name of GraphOptimizationLevel."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, optimization)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
