"""Many files beside bare inference, one call beside one run, and memory. `python -m benchmarks.bulk [--model FILE]`

Bare inference is onnxruntime as it comes: its own threads, batches of 64, nothing else done. All alternate in one
process; memory is the peak of a process of its own for each count.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import click
import numpy as np

PEAK = """
import resource, sys
from pathlib import Path
from avatar_runtime import AvatarGenerator
from avatar_runtime.files import draw_files, numbered
generator = AvatarGenerator.load(sys.argv[1], threads=1)
folder = Path(sys.argv[2])
for file in draw_files(generator, numbered("S", int(sys.argv[3])), folder):
    file.path.unlink()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def alternating(rounds: int, **measured: Callable[[], object]) -> dict[str, float]:
    """The median seconds of each, in turn, after one warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in measured}
    for i in range(rounds + 1):
        for name, function in measured.items():
            began = time.perf_counter()
            function()
            if i:
                seconds[name].append(time.perf_counter() - began)
    return {name: median(values) for name, values in seconds.items()}


@click.command()
@click.option("--model", type=click.Path(exists=True, path_type=Path), help="Another model than the embedded one.")
@click.option("--count", type=click.IntRange(min=64), default=10_000, show_default=True, help="Files of each format.")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Runs of each.")
@click.option("--peak", type=int, multiple=True, default=(1_000, 100_000), help="Counts whose memory to measure.")
def main(model: Path | None, count: int, rounds: int, peak: tuple[int, ...]) -> None:
    """Compare draw_files and a single call with bare inference."""
    import onnxruntime as ort

    from avatar_runtime import AvatarGenerator
    from avatar_runtime.files import draw_files, numbered
    from avatar_runtime.generator import embedded_model

    model = model or embedded_model()
    bare = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    generator, drawer = AvatarGenerator.from_session(bare), AvatarGenerator.load(model, threads=1)
    z = np.zeros((64, generator.spec.latent_dim), np.float32)
    single = alternating(
        200,
        run=lambda: bare.run(None, {"z": z[:1]}),
        call=lambda: generator.generate(["alice"]),
    )
    print(f"one avatar: {single['call'] * 1e3:.2f} ms, {single['call'] / single['run']:.2f} of a bare run", flush=True)
    with tempfile.TemporaryDirectory() as folder:

        def write(extension: str) -> None:
            for _ in draw_files(drawer, numbered("S", count), Path(folder), extension):
                pass

        found = alternating(
            rounds,
            bare=lambda: [bare.run(None, {"z": z}) for _ in range(count // 64)],
            png=lambda: write(".png"),
            webp=lambda: write(".webp"),
        )
        for name, seconds in found.items():
            print(
                f"{name:5} {seconds / count * 1e3:.2f} ms each, {seconds / found['bare']:.2f} of bare inference",
                flush=True,
            )
        for number in peak:
            command = [sys.executable, "-c", PEAK, str(model), folder, str(number)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(f"peak memory of {number} files: {float(done.stdout):.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
