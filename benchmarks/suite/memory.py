"""The most memory that whole commands take. A training run's is in `training`."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from benchmarks.baselines import absent
from benchmarks.suite.cold_start import AVATAR_GEN, SCRIPTS, program
from benchmarks.suite.models import Models
from benchmarks.suite.plots import Bar, Bars
from benchmarks.suite.process import own_environment
from benchmarks.suite.samples import Spread, TurnError, spread
from benchmarks.suite.setting import Setting
from benchmarks.suite.tables import Table

READ = (
    "Peak resident memory of whole processes, as the kernel counts it, the median of three; libraries' files that are "
    "mapped and touched are in it. MiB."
)
RUNS = 3
IMPORTS = "bare imports"
FILES = 1000


def measure(setting: Setting, made: Callable[[], Models], say: Callable[[str], None]) -> dict[str, Any]:
    """Peaks of drawing with ours and with the alternatives."""
    models = made()
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    peaks: dict[str, Spread] = {}
    with tempfile.TemporaryDirectory() as folder, own_environment():
        draw = [*AVATAR_GEN, "--model", str(setting.model)]
        commands = {
            IMPORTS: ["-c", "import numpy, onnxruntime, PIL.Image, click"],
            "avatar-gen --count 1": [*draw, "--out", f"{folder}/one.png"],
            "avatar-gen --count 64": [*draw, "--count", "64", "--out", f"{folder}/grid.png"],
            f"avatar-gen --count {FILES} --out-dir": [*draw, "--count", str(FILES), "--out-dir", f"{folder}/files"],
        }
        for name, package in SCRIPTS.items():
            if reason := absent(package):
                skipped[name] = reason
            else:
                commands[name] = ["-m", program(name), str(models.folder), f"{folder}/grid.png"]
        for name, command in commands.items():
            say(name)
            try:
                peaks[name] = spread([peak(command) for _ in range(setting.rounds(RUNS))])
            except TurnError as err:
                failed[name] = str(err)
    if IMPORTS not in peaks:
        raise TurnError(failed[IMPORTS])
    base = peaks[IMPORTS].median
    ratios = {
        f"{name}, of the {IMPORTS}": found.over(base).to_dict()
        for name, found in peaks.items()
        if name.startswith("avatar-")
    }
    return {
        "skipped": skipped,
        "failed": failed,
        "peaks": {name: found.to_dict() for name, found in peaks.items()},
        "ratios": ratios,
    }


def peak(command: list[str]) -> float:
    """MiB that Python with this command line takes at most. Raises TurnError."""
    done = subprocess.run([sys.executable, "-c", _LAUNCH, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise TurnError(f"ended with {done.returncode}")
    return int(done.stdout.split()[-1]) / (2**20 if sys.platform == "darwin" else 2**10)


# The kernel counts a process' peak from that of the one which started it: 240 MiB of ours, so a small one does that.
_LAUNCH = """
import os, sys
process = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ)
_, status, usage = os.wait4(process, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status) & 255)
"""


def tables(part: dict[str, Any]) -> list[Table]:
    """One row a command."""
    base = part["peaks"][IMPORTS]["median"]
    rows = [
        [name, f"{found['median']:.0f}", f"{found['median'] / base:.2f}"] for name, found in part["peaks"].items()
    ] + [[name, f"failed: {reason}", ""] for name, reason in part["failed"].items()]
    return [Table("Peak memory", ["", "MiB", f"of the {IMPORTS}"], rows)]


def headline(part: dict[str, Any]) -> str:
    """All peaks in a line."""
    said = [f"{found['median']:.0f} MiB by {name}" for name, found in part["peaks"].items()]
    return f"Peak memory: {', '.join(said)}."


def bars(part: dict[str, Any]) -> dict[str, Bars]:
    """One bar a command."""
    shown = [Bar(name, Spread(**found), name.startswith("avatar-")) for name, found in part["peaks"].items()]
    return {"memory": Bars("Peak memory of a whole command", [("", shown)], "MiB")}
