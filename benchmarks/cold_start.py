"""What avatar-gen costs beyond the imports it cannot do without. `python -m benchmarks.cold_start [--model FILE]`

Whole processes, alternating. Beside the medians stand the least of each: what a quiet moment gives.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import click

IMPORTS = "import numpy, onnxruntime, PIL.Image, click"
BARE = """
import sys, time, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
def times_of(batch, rounds=9):
    z, seconds = numpy.zeros((batch, session.get_inputs()[0].shape[1]), numpy.float32), []
    for _ in range(rounds):
        began = time.perf_counter()
        session.run(None, {"z": z})
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)
times = times_of(64)
print(times[len(times) // 2], times[0])
"""


def seconds(command: list[str]) -> float:
    """How long a process takes."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


@click.command()
@click.option("--model", type=click.Path(exists=True, path_type=Path), help="Another model than the embedded one.")
@click.option("--rounds", type=click.IntRange(min=1), default=15, show_default=True, help="Runs of each.")
def main(model: Path | None, rounds: int) -> None:
    """Compare whole runs of avatar-gen with the bare imports."""
    from avatar_runtime.generator import embedded_model

    model = model or embedded_model()
    with tempfile.TemporaryDirectory() as folder:
        draw = [sys.executable, "-m", "avatar_runtime", "--model", str(model), "--out", f"{folder}/out.png"]
        commands = {
            "bare imports": [sys.executable, "-c", IMPORTS],
            "--help": [sys.executable, "-m", "avatar_runtime", "--help"],
            "--count 1": [*draw, "--count", "1"],
            "--count 64": [*draw, "--count", "64"],
        }
        found: dict[str, list[float]] = {name: [] for name in commands}
        bare = [[0.0, 0.0]]
        for _ in range(rounds):
            for name, command in commands.items():
                found[name].append(seconds(command))
            done = subprocess.run([sys.executable, "-c", BARE, str(model)], check=True, capture_output=True, text=True)
            bare.append([float(value) for value in done.stdout.split()])
    middle, least = median(row[0] for row in bare[1:]), min(row[1] for row in bare[1:])
    imports = found["bare imports"]
    for name, values in found.items():
        print(f"{name:13} {compared(values, median(imports), min(imports))} of the imports")
    print(f"bare inference of 64: {middle * 1e3:.0f} ms; least {least * 1e3:.0f} ms")
    allowed = 1.2 * median(imports) + 1.3 * middle, 1.2 * min(imports) + 1.3 * least
    budget = compared(found["--count 64"], *allowed)
    print(f"--count 64: {budget} of 1.2 imports and 1.3 inferences")


def compared(values: list[float], middle: float, least: float) -> str:
    """The median and the least of values, and their ratios to those of something else."""
    return (
        f"{median(values) * 1e3:.0f} ms (least {min(values) * 1e3:.0f}), "
        f"{median(values) / middle:.2f} (least {min(values) / least:.2f})"
    )


if __name__ == "__main__":
    main()
