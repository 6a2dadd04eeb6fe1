"""OpenVINO on the plain graph, compiled for latency on the CPU."""

from benchmarks.suite.models import Models
from benchmarks.suite.process import Network


def open_network(models: Models, threads: int, file: str) -> Network:
    """Open it in float32 like the others: by default OpenVINO may compute in bfloat16."""
    import openvino

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(models.folder / file), "CPU", settings)
    return lambda z: compiled(z)[0]
