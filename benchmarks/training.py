"""What a training step costs, and what makes it cheaper. `python -m benchmarks.training --data faces.zip`

Every figure is a ratio of two medians whose runs alternate in one process, because machines are noisy; only the oneDNN
setting, which a process reads once, is compared between processes.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click


def medians(rounds: int, **measured: Callable[[], object]) -> dict[str, float]:
    """The median seconds of each, run in turn `rounds` times after one warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in measured}
    for i in range(rounds + 1):
        for name, function in measured.items():
            began = time.perf_counter()
            function()
            if i:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def data_share(data: Path, rounds: int) -> None:
    """Preparing a batch (gather, mirror, scale) beside the step that uses it, both in the foreground."""
    from avatar_training import dataset
    from avatar_training.config import TrainConfig
    from avatar_training.gan import Gan

    config = TrainConfig.from_recipe("edge", data=str(data))
    began = time.perf_counter()
    faces = dataset.load(data, config.image_size)
    print(f"decoding {len(faces.images)} images once: {time.perf_counter() - began:.1f} s")
    source = dataset._Batches(faces.images, config, 0, 1)
    gan, batch = Gan(config), source.batch(0)
    found = medians(rounds, batch=lambda: source.batch(1), step=lambda: gan.step(0, batch))
    print(f"a step: {found['step'] * 1e3:.0f} ms; preparing its batch: {found['batch'] * 1e3:.2f} ms", end="")
    print(f" = {100 * found['batch'] / found['step']:.2f}% of it")


def gif_palette(data: Path, rounds: int) -> None:
    """The palette of a frame of progress.gif by octree beside Pillow's default, median cut."""
    from PIL import Image

    from avatar_runtime.pixels import grid, to_pil
    from avatar_training import dataset

    frame = to_pil(grid(dataset.load(data, 64).images[:64]))
    found = medians(
        rounds, octree=lambda: frame.quantize(256, Image.Quantize.FASTOCTREE), median_cut=lambda: frame.quantize(256)
    )
    print(f"a frame's palette by octree: {found['octree'] * 1e3:.0f} ms, ", end="")
    print(f"by median cut: {found['median_cut'] * 1e3:.0f} ms, ratio {found['octree'] / found['median_cut']:.3f}")


def leaky_relu(rounds: int) -> None:
    """The discriminator's LeakyReLU from one ReLU beside MindSpore's own."""
    import numpy as np
    from mindspore import nn

    from avatar_training import networks
    from avatar_training.config import TrainConfig
    from avatar_training.gan import Gan

    config = TrainConfig.from_recipe("edge", data="")
    real = np.zeros((config.batch_size, 3, 64, 64), np.float32)
    ours = Gan(config)
    networks.LeakyReLU = nn.LeakyReLU  # type: ignore[misc]
    theirs = Gan(config)
    found = medians(rounds, ours=lambda: ours.step(0, real), theirs=lambda: theirs.step(0, real))
    print(f"a step with LeakyReLU from one ReLU: {found['ours'] / found['theirs']:.2f} of one with nn.LeakyReLU")


def one_step(rounds: int) -> float:
    """Median seconds of a step in this process, under the oneDNN setting it was started with."""
    import numpy as np

    from avatar_training.config import TrainConfig
    from avatar_training.device import select
    from avatar_training.gan import Gan

    select("CPU")
    config = TrainConfig.from_recipe("edge", data="")
    gan, real = Gan(config), np.zeros((config.batch_size, 3, 64, 64), np.float32)
    return medians(rounds, step=lambda: gan.step(0, real))["step"]


def onednn_isa(rounds: int) -> None:
    """A step under the instruction set that `device.select` sets beside oneDNN's own choice."""
    seconds = {}
    for isa in ("AVX2", "DEFAULT"):
        program = f"from benchmarks.training import one_step; print(one_step({rounds}))"
        environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": isa, "GLOG_v": "3"}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
        seconds[isa] = float(done.stdout.split()[-1])
    print(f"a step under AVX2: {seconds['AVX2']:.2f} s, under oneDNN's own choice: {seconds['DEFAULT']:.2f} s", end="")
    print(f", ratio {seconds['AVX2'] / seconds['DEFAULT']:.3f}")


@click.command()
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True, help="A folder or zip of images.")
@click.option("--rounds", type=click.IntRange(min=1), default=15, show_default=True, help="Runs of each.")
def main(data: Path, rounds: int) -> None:
    """Measure a training step on the CPU."""
    from avatar_training.device import select

    os.environ.setdefault("GLOG_v", "3")
    onednn_isa(min(rounds, 3))
    select("CPU")
    data_share(data, rounds)
    gif_palette(data, rounds)
    leaky_relu(rounds)


if __name__ == "__main__":
    main()
