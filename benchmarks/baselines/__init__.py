"""The ways to draw that are compared: the baselines and our own files, in the order of the tables."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.baselines import networks
from benchmarks.suite.models import PLAIN, Models
from benchmarks.suite.process import Network, Process


@dataclass(frozen=True)
class Contender:
    """One way to draw faces with the weights of the checkpoint."""

    name: str
    open_network: Callable[..., Network]
    package: str
    """Skipped where this package is not installed."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of open_network."""
    file: str | None = None
    """The model file, for those that read one."""

    @property
    def ours(self) -> bool:
        """Whether it is a file that avatar-export wrote."""
        return self.open_network is networks.open_our_file

    def missing(self) -> str | None:
        """A sentence if its package is not installed, else None."""
        return not_installed(self.package)

    def start(self, models: Models, threads: int, logs: Path) -> Process:
        """Open it in its own process. Raises TurnError."""
        options = self.options if self.file is None else {**self.options, "file": self.file}
        log = logs / f"{self.name.replace(' ', '-').replace('/', '-')}.txt"
        return Process(partial(self.open_network, models, threads, **options), log=log, threads=threads)


def not_installed(package: str) -> str | None:
    """A sentence if the package is not installed, else None."""
    return None if find_spec(package) else f"{package} is not installed; pip install {package}"


ORIGINAL = Contender("MindSpore", networks.open_mindspore, "mindspore")
"""All times are compared with its times."""
REFERENCE = Contender("MindSpore, exact tanh", networks.open_mindspore, "mindspore", {"exact_tanh": True})
"""All pixels are compared with its pixels, as in avatar-export: MindSpore's own float32 tanh is up to 1e-4 off."""

BASELINES = (
    ORIGINAL,
    Contender("PyTorch eager", networks.open_pytorch, "torch"),
    Contender("PyTorch channels_last", networks.open_pytorch, "torch", {"channels_last": True}),
    Contender("PyTorch torch.compile", networks.open_pytorch, "torch", {"compiled": True}),
    Contender("OpenVINO", networks.open_openvino, "openvino", file=PLAIN),
    Contender("onnxruntime, plain graph", networks.open_onnxruntime, "onnxruntime", file=PLAIN),
)
OUR_FILES = tuple(
    Contender(f"avatar-edge {name}", networks.open_our_file, "onnxruntime", file=file)
    for name, file in (("fp32", "fp32.onnx"), ("fp16", "fp16.onnx"), ("int8", "int8.onnx"), ("int8 .ort", "int8.ort"))
)
CONTENDERS = (*BASELINES, *OUR_FILES)
