"""What a measurement was made with: the machine, the versions, the model. Results of another setting do not mix."""

import hashlib
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from avatar_runtime.cpus import cpu_limit

PACKAGES = ("avatar-edge", "numpy", "onnxruntime", "pillow", "onnx", "mindspore", "torch", "openvino")
"""Whose versions decide a figure."""
CHECKPOINT = Path("training/pretrained/anime-faces-64")
QUIET = 0.1
"""The share of the processors that others may use before it is said: a tenth."""


@dataclass(frozen=True)
class Setting:
    """What the parts measure, and how thoroughly."""

    checkpoint: Path
    """The generator, of which every rival and file has the weights."""
    model: Path
    """The model file of the parts that run whole commands."""
    out: Path
    """Where results go."""
    features: Path | None = None
    """An ONNX feature network, for KID."""
    data: Path | None = None
    """A folder or zip of real faces."""
    pythons: tuple[Path, ...] = ()
    """Interpreters with other versions of onnxruntime."""
    threads: int = cpu_limit()
    """Of every rival."""
    quick: bool = False
    """Fewer rounds and latents: rough figures."""

    def rounds(self, thorough: int) -> int:
        """So many, or a third of them when it must be quick."""
        return max(2, thorough // 3) if self.quick else thorough

    def to_dict(self) -> dict[str, Any]:
        """As JSON values: what must be equal for results to belong together."""
        return {
            "machine": machine(),
            "versions": versions(),
            "model": {
                "checkpoint": self.checkpoint.name,
                "checkpoint_sha256": _sha256(self.checkpoint),
                "file": self.model.name,
                "file_sha256": _sha256(self.model),
            },
            "threads": self.threads,
            "quick": self.quick,
        }


def machine() -> dict[str, Any]:
    """The processor and what runs on it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    wide = [
        name for name in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "asimd", "asimddp", "i8mm") if name in flags
    ]
    return {
        "processor": fields.get("model name") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "vectors": wide,
        "cpus": cpu_limit(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Of the packages that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def load(seconds: float = 1.0) -> dict[str, float | None]:
    """What else the machine does while this process sleeps: the load average, and the share of processors in use.

    The load average remembers the last minute, so also what this program did; the share does not. None where the system
    does not say.
    """
    before = _used()
    time.sleep(seconds)
    after = _used()
    share = None
    if before and after and after[1] > before[1]:
        share = round((after[0] - before[0]) / (after[1] - before[1]), 3)
    return {"average": round(os.getloadavg()[0], 2), "busy": share}


def _used() -> tuple[int, int] | None:
    """Ticks that all processors worked, and all their ticks."""
    path = Path("/proc/stat")
    if not path.is_file():
        return None
    ticks: Sequence[int] = [int(value) for value in path.read_text().splitlines()[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
