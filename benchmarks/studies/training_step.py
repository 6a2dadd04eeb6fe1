"""A training step looked at closely. `python -m benchmarks.studies.training_step --recipe tutorial`

Other recipes, one thread by processor time for a busy machine, oneDNN's instruction set, and a GIF's palette.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import click

from benchmarks.suite.samples import alternate, ratio, seconds, timed
from benchmarks.suite.tables import milliseconds, times
from benchmarks.suite.training import LAYERS, OURS, open_step, steps

ISA = "ONEDNN_MAX_CPU_ISA"


def gif_palette(data: Path, rounds: int) -> None:
    """The palette of a frame of progress.gif by octree beside Pillow's default, median cut."""
    from PIL import Image

    from avatar_runtime.imaging.arrays import grid, to_pil
    from avatar_training.data import dataset

    frame = to_pil(grid(dataset.load(data, 64).images[:64]))
    octree, median_cut = partial(frame.quantize, 256, Image.Quantize.FASTOCTREE), partial(frame.quantize, 256)
    turns, _ = alternate({"octree": partial(timed, octree), "median cut": partial(timed, median_cut)}, rounds)
    for name, row in turns.items():
        print(f"a frame's palette by {name}: {milliseconds(seconds(row))} ms")
    print(f"ratio {times(ratio(turns['octree'], turns['median cut']))}")


def one_step(rounds: int) -> float:
    """Median seconds of a step with MindSpore's layers, under the oneDNN setting this process was started with."""
    return statistics.median(timed(open_step(LAYERS, "edge", False), rounds, 1))


def onednn_isa(rounds: int, threads: int) -> None:
    """MindSpore's layers under the instruction set that `device.select` sets beside oneDNN's own choice."""
    found = {}
    for isa in ("AVX2", "DEFAULT"):
        program = f"from {__spec__.name} import one_step; print(one_step({rounds}))"
        environment = {**os.environ, ISA: isa, "GLOG_v": "3", "OMP_NUM_THREADS": str(threads)}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
        found[isa] = float(done.stdout.split()[-1])
    print(f"a step under AVX2: {found['AVX2']:.2f} s, under oneDNN's own choice: {found['DEFAULT']:.2f} s", end="")
    print(f", ratio {found['AVX2'] / found['DEFAULT']:.3f}")


@click.command(context_settings={"show_default": True})
@click.option("--recipe", "recipes", type=click.Choice(["edge", "tutorial"]), multiple=True, help="Of the steps.")
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="Images: also measure a GIF's palette.")
@click.option("--rounds", type=click.IntRange(min=1), default=15, help="Turns of each.")
@click.option("--threads", type=click.IntRange(min=1), default=os.cpu_count(), help="Of every competitor.")
@click.option("--one-thread", is_flag=True, help="Compare by processor time, for a machine that is busy.")
@click.option("--onednn", is_flag=True, help="Also oneDNN's own choice of instructions: 10 s a step on AVX-512.")
def main(
    recipes: tuple[str, ...], data: Path | None, rounds: int, threads: int, one_thread: bool, onednn: bool
) -> None:
    """Measure training steps on the CPU."""
    if onednn:
        onednn_isa(min(rounds, 3), threads)
    for recipe in recipes:
        with tempfile.TemporaryDirectory() as folder:
            turns, skipped, failed = steps(recipe, threads, rounds, Path(folder), lambda said: None, one_thread)
        for name, row in turns.items():
            print(f"{recipe}, {name}: {milliseconds(seconds(row))} ms; {times(ratio(row, turns[OURS]))} of ours")
        for name, reason in (skipped | failed).items():
            print(f"{recipe}, {name}: {reason}")
    if data is not None:
        gif_palette(data, rounds)


if __name__ == "__main__":
    main()
