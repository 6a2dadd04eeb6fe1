"""What a whole command costs, from a shell's return key to the written picture, beside the imports it cannot avoid."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.baselines import absent
from benchmarks.suite.models import Models
from benchmarks.suite.plots import Bar, Bars
from benchmarks.suite.process import own_environment
from benchmarks.suite.samples import TurnError, Turns, alternate, ratio, seconds
from benchmarks.suite.setting import Setting
from benchmarks.suite.tables import Table, milliseconds, times

READ = (
    "Whole processes in random order, files warm in the page cache: the median and where eight tenths lie. The bare "
    "imports (numpy, onnxruntime, Pillow, click) are what no program of these libraries can avoid; the rest is ours. "
    "The scripts draw the same grid of 64 faces and save it as PNG with Pillow's defaults."
)
ROUNDS = 9
IMPORTS = "bare imports"
GRID = "avatar-gen --count 64"
AVATAR_GEN = ("-c", "from avatar_runtime.__main__ import main; main()")
"""What the installed script does."""
OURS = ("avatar-gen --help", "avatar-gen --count 1", GRID)
SCRIPTS = {"onnxruntime script": "onnxruntime", "PyTorch script": "torch", "MindSpore script": "mindspore"}
"""Each draws with benchmarks/suite/programs/grid_*.py; and the package it needs."""


def measure(setting: Setting, made: Callable[[], Models], say: Callable[[str], None]) -> dict[str, Any]:
    """Each command in turn."""
    models, skipped = made(), {}
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/grid.png"
        draw = [*AVATAR_GEN, "--model", str(setting.model), "--out", out]
        commands = {
            IMPORTS: ["-c", "import numpy, onnxruntime, PIL.Image, click"],
            OURS[0]: [*AVATAR_GEN, "--help"],
            OURS[1]: [*draw, "--count", "1"],
            OURS[2]: [*draw, "--count", "64"],
        }
        for name, package in SCRIPTS.items():
            if reason := absent(package):
                skipped[name] = reason
            else:
                commands[name] = ["-m", program(name), str(models.folder), out]
        asked = {name: partial(process, command) for name, command in commands.items()}
        with own_environment():
            turns, failed = alternate(asked, setting.rounds(ROUNDS), say)
    if IMPORTS in failed:
        raise TurnError(failed[IMPORTS])
    ours = [name for name in OURS if name in turns]
    ratios = {f"{name}, of the bare imports": ratio(turns[name], turns[IMPORTS]).to_dict() for name in ours}
    for script in SCRIPTS:
        if script in turns and GRID in turns:
            ratios[f"{GRID}, of the {script}"] = ratio(turns[GRID], turns[script]).to_dict()
    return {"skipped": skipped, "failed": failed, "turns": turns, "ratios": ratios}


def program(script: str) -> str:
    """The module of a script."""
    return f"benchmarks.suite.programs.grid_{script.split()[0].lower()}"


def process(command: list[str]) -> list[float]:
    """Seconds of one run of Python with this command line, as a turn. Raises TurnError with the last line it said."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    taken = time.perf_counter() - began
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise TurnError(f"ended with {done.returncode}: {said[-1][:300]}")
    return [taken]


def tables(part: dict[str, Any]) -> list[Table]:
    """One row a command."""
    turns: dict[str, Turns] = part["turns"]
    rows = [[name, milliseconds(seconds(row)), times(ratio(row, turns[IMPORTS]))] for name, row in turns.items()]
    rows += [[name, f"failed: {reason}", ""] for name, reason in part["failed"].items()]
    return [Table("A whole command", ["", "milliseconds", "of the bare imports"], rows)]


def headline(part: dict[str, Any]) -> str:
    """The grid beside the scripts."""
    turns: dict[str, Turns] = part["turns"]
    if GRID not in turns:
        return ""
    others = [
        f"{ratio(turns[name], turns[GRID]).median:.1f} times as long by the {name}" for name in SCRIPTS if name in turns
    ]
    return f"A grid of 64 faces from a cold start in {seconds(turns[GRID]).median * 1e3:.0f} ms; {', '.join(others)}."


def bars(part: dict[str, Any]) -> dict[str, Bars]:
    """All commands."""
    shown = [Bar(name, seconds(row), name in OURS) for name, row in part["turns"].items()]
    shown += [Bar(name, None, name in OURS) for name in part["failed"]]
    return {"cold-start": Bars("A whole command, cold", [("", shown)], "ms", 1e3)}
