"""onnxruntime as most people use it: the plain graph, and default settings but for the number of threads."""

from benchmarks.suite.models import Models
from benchmarks.suite.process import Network


def open_network(models: Models, threads: int, file: str) -> Network:
    """Open it. Graph optimizations are on by default."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(models.folder / file, options, providers=["CPUExecutionProvider"])
    return lambda z: session.run(None, {"z": z})[0]
