"""What a training step costs, and what makes it cheaper. `python -m benchmarks.training --data faces.zip`

Every figure is a ratio of two medians whose runs alternate in one process, because machines are noisy; only the oneDNN
setting, which a process reads once, is compared between processes.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import click


def medians(
    rounds: int, measured: Mapping[str, Callable[[], object]], clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """The median seconds of each, run in turn `rounds` times after one warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in measured}
    for i in range(rounds + 1):
        for name, function in measured.items():
            began = clock()
            function()
            if i:
                seconds[name].append(clock() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def step_speed(recipe: str, rounds: int, one_thread: bool) -> None:
    """Our step, the same with MindSpore's own layers, and PyTorch's, taking turns in this process.

    With one_thread each has one, and processor time is what counts: what else the machine does changes that least.
    """
    import numpy as np

    from avatar_training.config import TrainConfig
    from avatar_training.gan import Gan

    config = TrainConfig.from_recipe(recipe, data="")
    real = np.random.default_rng(0).uniform(-1, 1, (config.batch_size, 3, 64, 64)).astype(np.float32)
    ours, plain = Gan(config), _with_mindspores_layers(config)
    steps: dict[str, Callable[[], object]] = {
        "ours": lambda: ours.step(0, real),
        "MindSpore's layers": lambda: plain.step(0, real),
    }
    for step in steps.values():
        step()
    try:
        import torch
        from benchmarks.pytorch_twin import PyTorchGan
    except ImportError:
        print('PyTorch is not installed, so nothing is compared with it; pip install "avatar-edge[bench]"')
    else:
        os.environ.pop("ONEDNN_MAX_CPU_ISA", None)  # ours has read it; PyTorch's own oneDNN is to choose freely
        if one_thread:
            torch.set_num_threads(1)
        z, images = torch.randn(config.batch_size, config.latent_dim, 1, 1), torch.from_numpy(real)
        for name, layout in (("PyTorch", torch.contiguous_format), ("PyTorch, channels last", torch.channels_last)):
            twin = PyTorchGan(config, layout)
            steps[name] = partial(twin.step, z, images)
    found = medians(rounds, steps, time.process_time if one_thread else time.perf_counter)
    for name, seconds in found.items():
        speed = f"{1e3 * seconds:.0f} ms a step, {config.batch_size / seconds:.0f} images/s"
        print(f"{recipe}, {name}: {speed}; ours is {seconds / found['ours']:.2f} times as fast")


def _with_mindspores_layers(config: Any) -> Any:
    """The Gan of a config as it would be on another device than a CPU."""
    from avatar_training import gan, networks

    def plain(network: Callable[..., object]) -> Callable[..., object]:
        return lambda *args, **options: network(*args[:4])

    with mock.patch.multiple(gan, Generator=plain(networks.Generator), Discriminator=plain(networks.Discriminator)):
        return gan.Gan(config)


def outside_the_step(data: Path, recipe: str, steps: int) -> None:
    """What a run does besides steps: batches, logging and, once in 200 steps, snapshot and previews."""
    from avatar_training import loop
    from avatar_training.config import TrainConfig
    from avatar_training.gan import Gan

    calls: list[tuple[float, float]] = []

    class Timed(Gan):
        def step(self, *args: Any) -> tuple[float, float]:
            began = time.perf_counter()
            losses = super().step(*args)
            calls.append((began, time.perf_counter()))
            return losses

    config = TrainConfig.from_recipe(recipe, data=str(data), steps=steps + 1, tick=steps + 1)
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(loop, "Gan", Timed):
        loop.train(config, Path(folder))
        tick = time.perf_counter() - calls[-1][1]
    calls = calls[1:]  # the first compiles
    inside = sum(end - began for began, end in calls) / len(calls)
    between = (calls[-1][1] - calls[0][0]) / len(calls) - inside
    usual = TrainConfig.from_recipe(recipe, data="").tick
    outside = between + tick / usual
    print(
        f"{recipe}: {1e3 * between:.1f} ms between steps of {1e3 * inside:.0f} ms, {tick:.2f} s once in {usual} steps",
        end="",
    )
    print(f": {100 * outside / (outside + inside):.1f}% of the time is outside the step")


def gif_palette(data: Path, rounds: int) -> None:
    """The palette of a frame of progress.gif by octree beside Pillow's default, median cut."""
    from PIL import Image

    from avatar_runtime.pixels import grid, to_pil
    from avatar_training import dataset

    frame = to_pil(grid(dataset.load(data, 64).images[:64]))
    octree, median_cut = partial(frame.quantize, 256, Image.Quantize.FASTOCTREE), partial(frame.quantize, 256)
    found = medians(rounds, {"octree": octree, "median_cut": median_cut})
    print(f"a frame's palette by octree: {found['octree'] * 1e3:.0f} ms, ", end="")
    print(f"by median cut: {found['median_cut'] * 1e3:.0f} ms, ratio {found['octree'] / found['median_cut']:.3f}")


def one_step(rounds: int) -> float:
    """Median seconds of a step with MindSpore's layers, under the oneDNN setting this process was started with."""
    import numpy as np

    from avatar_training.config import TrainConfig
    from avatar_training.device import select

    select("CPU")
    config = TrainConfig.from_recipe("edge", data="")
    gan, real = _with_mindspores_layers(config), np.zeros((config.batch_size, 3, 64, 64), np.float32)
    return medians(rounds, {"step": lambda: gan.step(0, real)})["step"]


def onednn_isa(rounds: int) -> None:
    """MindSpore's layers under the instruction set that `device.select` sets beside oneDNN's own choice."""
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
@click.option("--recipe", "recipes", type=click.Choice(["edge", "tutorial"]), multiple=True, help="Default: both.")
@click.option("--rounds", type=click.IntRange(min=1), default=15, show_default=True, help="Runs of each.")
@click.option("--one-thread", is_flag=True, help="Compare steps by processor time, for a machine that is busy.")
def main(data: Path, recipes: tuple[str, ...], rounds: int, one_thread: bool) -> None:
    """Measure a training step on the CPU."""
    os.environ.setdefault("GLOG_v", "3")
    from mindspore import device_context

    from avatar_training.device import select

    onednn_isa(min(rounds, 3))
    select("CPU")
    if one_thread:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        device_context.cpu.op_tuning.threads_num(1)
    for recipe in recipes or ("edge", "tutorial"):
        step_speed(recipe, rounds, one_thread)
        outside_the_step(data, recipe, rounds)
    gif_palette(data, rounds)


if __name__ == "__main__":
    main()
