"""Who competes: one row a rival, in the order of the tables. Each module has `open_network(models, threads, …)`."""

import importlib
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.suite.models import PLAIN, Models
from benchmarks.suite.process import Process


@dataclass(frozen=True)
class Rival:
    """One way to draw with the same weights."""

    name: str
    module: str
    """In benchmarks.baselines."""
    needs: str
    """The package without which it is skipped."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of the module's open_network."""
    file: str | None = None
    """The model file, for those that read one."""

    @property
    def ours(self) -> bool:
        """Whether it is a file of avatar-export."""
        return self.module == "our_file"

    def missing(self) -> str | None:
        """Why it cannot take part, in one sentence; None if it can."""
        return absent(self.needs)

    def start(self, models: Models, threads: int, logs: Path) -> Process:
        """Open it in a process of its own. Raises TurnError."""
        module = importlib.import_module(f"benchmarks.baselines.{self.module}")
        options = self.options if self.file is None else {**self.options, "file": self.file}
        log = logs / f"{self.name.replace(' ', '-').replace('/', '-')}.txt"
        return Process(open_rival, module.__name__, models, threads, options, log=log, threads=threads)


def absent(package: str) -> str | None:
    """That a package is not installed, in one sentence; None if it is."""
    return None if find_spec(package) else f"{package} is not installed; pip install {package}"


def open_rival(module: str, models: Models, threads: int, options: dict[str, Any]) -> Any:
    """Its network, in this process."""
    return importlib.import_module(module).open_network(models, threads, **options)


ORIGINAL = Rival("MindSpore", "mindspore_graph", "mindspore")
"""What all others are compared with."""
REFERENCE = Rival("MindSpore, exact tanh", "mindspore_graph", "mindspore", {"exact_tanh": True})
"""What their pixels are compared with, as in avatar-export's gate: MindSpore's own tanh is up to 1e-4 off."""

RIVALS = (
    ORIGINAL,
    Rival("PyTorch eager", "pytorch", "torch"),
    Rival("PyTorch channels_last", "pytorch", "torch", {"channels_last": True}),
    Rival("PyTorch torch.compile", "pytorch", "torch", {"compiled": True}),
    Rival("OpenVINO", "openvino_latency", "openvino", file=PLAIN),
    Rival("onnxruntime, plain graph", "plain_onnx", "onnxruntime", file=PLAIN),
    Rival("avatar-edge fp32", "our_file", "onnxruntime", file="fp32.onnx"),
    Rival("avatar-edge fp16", "our_file", "onnxruntime", file="fp16.onnx"),
    Rival("avatar-edge int8", "our_file", "onnxruntime", file="int8.onnx"),
    Rival("avatar-edge int8 .ort", "our_file", "onnxruntime", file="int8.ort"),
)
