"""What a measurement was made with: machine, versions, commit and model. Results of different settings never mix."""

import hashlib
import os
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatar_runtime.cpus import cpu_limit
from avatar_training.run_folder.environment import versions

PACKAGES = ("avatar-edge", "numpy", "onnxruntime", "pillow", "onnx", "mindspore", "torch", "openvino")
"""Packages whose versions affect the figures."""
CHECKPOINT = Path("training/pretrained/anime-faces-128")
ROOT = Path(__file__).parents[2]
RESULTS = Path("benchmarks/RESULTS.md")
"""The generated page in the repository."""
QUIET = 0.1
"""Other programs may use this share of the processors before a warning is printed."""


@dataclass(frozen=True)
class Setting:
    """What to measure, and how thoroughly."""

    checkpoint: Path
    """The generator whose weights every contender has."""
    model: Path
    """The model file that `commands` and `bulk` draw with."""
    out: Path
    """Folder of the results."""
    data: Path | None = None
    """A folder or zip of real faces, for `training`."""
    threads: int = cpu_limit()
    """For every contender."""
    quick: bool = False
    """Fewer rounds and latents, rough figures."""

    def rounds(self, thorough: int) -> int:
        """The number of rounds: a third of them with --quick."""
        return max(2, thorough // 3) if self.quick else thorough

    def to_dict(self) -> dict[str, Any]:
        """As JSON values. Results belong together only if all of these are equal."""
        return {
            "machine": machine(),
            "commit": commit(),
            "versions": versions(PACKAGES),
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
    """The processor, its vector instructions, memory and system."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    wide = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "asimd", "asimddp", "i8mm")
    return {
        "processor": fields.get("model name") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "vectors": [name for name in wide if name in flags],
        "cpus": cpu_limit(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def commit() -> str:
    """The commit of this tree, with "+changes" if tracked files other than the generated results differ from it."""

    def git(*arguments: str) -> str:
        try:
            done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return "unknown"
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", f":!{RESULTS}")
    return git("rev-parse", "--short=12", "HEAD") + ("+changes" if changed not in ("", "unknown") else "")


def load(seconds: float = 1.0) -> dict[str, float | None]:
    """Sleep, and measure what else the machine does: the load average, and the share of the processors in use.

    The load average covers the last minute, so it includes this program; the share does not. None where unknown.
    """
    before = _used()
    time.sleep(seconds)
    after = _used()
    share = None
    if before and after and after[1] > before[1]:
        share = round((after[0] - before[0]) / (after[1] - before[1]), 3)
    return {"average": round(os.getloadavg()[0], 2), "busy": share}


def _used() -> tuple[int, int] | None:
    """Busy ticks of all processors, and all ticks."""
    path = Path("/proc/stat")
    if not path.is_file():
        return None
    ticks = [int(value) for value in path.read_text().splitlines()[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
