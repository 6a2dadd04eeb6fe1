"""The ways to draw that are compared: the baselines and our own files, in the order of the tables.

Each module has `open_network(models, threads, …)`.
"""

import importlib
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.suite.models import PLAIN, Models
from benchmarks.suite.process import Process


@dataclass(frozen=True)
class Contender:
    """One way to draw faces with the weights of the checkpoint."""

    name: str
    module: str
    """In benchmarks.baselines."""
    package: str
    """Skipped where this package is not installed."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the module's open_network."""
    file: str | None = None
    """The model file, for those that read one."""

    @property
    def ours(self) -> bool:
        """Whether it is a file that avatar-export wrote."""
        return self.module == "our_file"

    def missing(self) -> str | None:
        """A sentence if its package is not installed, else None."""
        return not_installed(self.package)

    def start(self, models: Models, threads: int, logs: Path) -> Process:
        """Open it in its own process. Raises TurnError."""
        module = importlib.import_module(f"benchmarks.baselines.{self.module}")
        options = self.options if self.file is None else {**self.options, "file": self.file}
        log = logs / f"{self.name.replace(' ', '-').replace('/', '-')}.txt"
        return Process(open_network, module.__name__, models, threads, options, log=log, threads=threads)


def not_installed(package: str) -> str | None:
    """A sentence if the package is not installed, else None."""
    return None if find_spec(package) else f"{package} is not installed; pip install {package}"


def open_network(module: str, models: Models, threads: int, options: dict[str, Any]) -> Any:
    """Open a contender's network in this process."""
    return importlib.import_module(module).open_network(models, threads, **options)


ORIGINAL = Contender("MindSpore", "mindspore_graph", "mindspore")
"""All times are compared with its times."""
REFERENCE = Contender("MindSpore, exact tanh", "mindspore_graph", "mindspore", {"exact_tanh": True})
"""All pixels are compared with its pixels, as in avatar-export: MindSpore's own float32 tanh is up to 1e-4 off."""

BASELINES = (
    ORIGINAL,
    Contender("PyTorch eager", "pytorch", "torch"),
    Contender("PyTorch channels_last", "pytorch", "torch", {"channels_last": True}),
    Contender("PyTorch torch.compile", "pytorch", "torch", {"compiled": True}),
    Contender("OpenVINO", "openvino_latency", "openvino", file=PLAIN),
    Contender("onnxruntime, plain graph", "plain_onnx", "onnxruntime", file=PLAIN),
)
OUR_FILES = tuple(
    Contender(f"avatar-edge {name}", "our_file", "onnxruntime", file=file)
    for name, file in (("fp32", "fp32.onnx"), ("fp16", "fp16.onnx"), ("int8", "int8.onnx"), ("int8 .ort", "int8.ort"))
)
CONTENDERS = (*BASELINES, *OUR_FILES)
