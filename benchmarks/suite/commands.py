"""Time and peak memory of whole commands, from the shell's return key to the written picture."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from benchmarks.baselines import not_installed
from benchmarks.suite.models import Models
from benchmarks.suite.process import quiet_environment
from benchmarks.suite.setting import Setting
from benchmarks.suite.tables import Table, milliseconds, times
from benchmarks.suite.timing import TurnError, Turns, alternate, ratio, seconds, spread

READ = (
    "Whole processes in random order, with files in the page cache: the median, and the range that holds 80% of the "
    "runs. The bare imports (numpy, onnxruntime, Pillow, click) are what no program of these libraries can avoid. The "
    "scripts draw the same grid of 64 faces and save it as PNG with Pillow's defaults. Memory is the peak resident "
    "memory that the kernel reports, in MiB."
)
ROUNDS = 9
IMPORTS = "bare imports"
GRID = "avatar-gen --count 64"
AVATAR_GEN = ("-c", "from avatar_runtime.command.process import avatar_gen; avatar_gen()")
"""What the installed command does."""
SCRIPTS = {"onnxruntime script": "onnxruntime", "PyTorch script": "torch", "MindSpore script": "mindspore"}
"""Each draws with benchmarks/suite/programs/grid_*.py; and the package it needs."""


def measure(setting: Setting, make_models: Callable[[], Models], say: Callable[[str], None]) -> dict[str, Any]:
    """Run every command in turn."""
    models, skipped = make_models(), {}
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/grid.png"
        draw = [*AVATAR_GEN, "--model", str(setting.model)]
        commands = {
            IMPORTS: ["-c", "import numpy, onnxruntime, PIL.Image, click"],
            "avatar-gen --help": [*AVATAR_GEN, "--help"],
            "avatar-gen --count 1": [*draw, "--out", out],
            GRID: [*draw, "--count", "64", "--out", out],
            "avatar-gen --count 1000 --out-dir": [*draw, "--count", "1000", "--out-dir", f"{folder}/files"],
        }
        for name, package in SCRIPTS.items():
            if reason := not_installed(package):
                skipped[name] = reason
            else:
                module = f"benchmarks.suite.programs.grid_{name.split()[0].lower()}"
                commands[name] = ["-m", module, str(models.folder), out]
        peaks: dict[str, list[float]] = {name: [] for name in commands}

        def turn(name: str) -> list[float]:
            taken, peak = run_command(commands[name])
            peaks[name].append(peak)
            return [taken]

        tasks = {name: lambda name=name: turn(name) for name in commands}
        with quiet_environment():
            turns, failed = alternate(tasks, setting.rounds(ROUNDS), say)
    if IMPORTS in failed:
        raise TurnError(failed[IMPORTS])
    memory = {name: spread(peaks[name]) for name in turns}
    ratios = {}
    for name in [name for name in turns if name.startswith("avatar-")]:
        ratios[f"{name}, of the {IMPORTS}"] = ratio(turns[name], turns[IMPORTS]).to_dict()
        ratios[f"memory of {name}, of the {IMPORTS}"] = memory[name].over(memory[IMPORTS].median).to_dict()
    return {
        "skipped": skipped,
        "failed": failed,
        "turns": turns,
        "memory": {name: found.to_dict() for name, found in memory.items()},
        "ratios": ratios,
    }


def run_command(arguments: list[str]) -> tuple[float, float]:
    """Run Python with these arguments: seconds, and peak memory in MiB. Raises TurnError with its last line."""
    done = subprocess.run([sys.executable, "-c", _LAUNCH, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise TurnError(f"ended with {done.returncode}: {lines[-1][:300]}")
    taken, peak = done.stdout.split()
    return float(taken), int(peak) / (2**20 if sys.platform == "darwin" else 2**10)


# A child's peak starts at the memory of the process that started it, 240 MiB for ours: so a small one starts it.
_LAUNCH = """
import os, sys, time
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
began = time.perf_counter()
process = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ, file_actions=quiet)
_, status, usage = os.wait4(process, 0)
print(time.perf_counter() - began, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status) & 255)
"""


def tables(part: dict[str, Any]) -> list[Table]:
    """One row for each command."""
    turns: dict[str, Turns] = part["turns"]
    rows = []
    for name, row in turns.items():
        memory = part["memory"][name]["median"]
        rows.append([name, milliseconds(seconds(row)), times(ratio(row, turns[IMPORTS])), f"{memory:.0f}"])
    rows += [[name, f"failed: {reason}", "", ""] for name, reason in part["failed"].items()]
    return [Table("Whole commands", ["", "milliseconds", f"of the {IMPORTS}", "peak MiB"], rows)]


def headline(part: dict[str, Any]) -> str:
    """Our grid beside the scripts."""
    turns: dict[str, Turns] = part["turns"]
    if GRID not in turns:
        return ""
    said = [f"A grid of 64 faces takes {seconds(turns[GRID]).median * 1e3:.0f} ms from a cold start"]
    for name in [name for name in SCRIPTS if name in turns]:
        said.append(f"the {name} takes {ratio(turns[name], turns[GRID]).median:.1f} times as long")
    return f"{'; '.join(said)}."
