"""What a training step costs beside PyTorch's, what happens outside it, and how much memory a run takes."""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.baselines import absent
from benchmarks.studies.training_memory import one_run, pictures
from benchmarks.suite.models import Models
from benchmarks.suite.plots import Bar, Bars
from benchmarks.suite.process import Process, own_environment
from benchmarks.suite.samples import TurnError, Turns, alternate, ratio, seconds, timed
from benchmarks.suite.setting import Setting
from benchmarks.suite.tables import Table, milliseconds, times

READ = (
    "One step of recipe edge (batch 16, 64x64 pixels): both networks' passes, gradients and optimizers, and the "
    "moving average. Each competitor in a process that is stopped while others run. What happens outside the step is "
    "measured on a real run: batches, logging, and once in 200 steps a snapshot and previews. Memory is resident "
    "memory of a run on the CPU, its network's compilation included."
)
INPUTS = ("data",)
OURS, LAYERS = "avatar-train", "MindSpore's own layers"
KINDS = {OURS: "mindspore", LAYERS: "mindspore", "PyTorch eager": "torch", "PyTorch channels_last": "torch"}
"""And the package each needs."""
RECIPE, ROUNDS = "edge", 9
IMAGES = 1000


def measure(setting: Setting, made: Callable[[], Models], say: Callable[[str], None]) -> dict[str, Any]:
    """Steps, what is around them, and memory."""
    turns, skipped, failed = steps(RECIPE, setting.threads, setting.rounds(ROUNDS), setting.out / "logs", say)
    if OURS not in turns:
        raise TurnError((failed | skipped)[OURS])
    with tempfile.TemporaryDirectory() as folder:
        data = setting.data
        if data is None:
            data = Path(folder) / "pictures.zip"
            pictures(data, IMAGES)
        with own_environment(setting.threads):
            say("a run, and what it does outside its steps")
            around = _in_a_process(outside_the_step, data, RECIPE, 20)
            say(f"a run on {IMAGES} images, and its memory")
            memory_data = Path(folder) / "memory.zip"
            pictures(memory_data, IMAGES)
            memory = _in_a_process(one_run, str(memory_data), f"{folder}/run", 64, 2, 5)
    ratios = {f"{OURS}, of {name}": ratio(turns[OURS], row).to_dict() for name, row in turns.items() if name != OURS}
    return {
        "skipped": skipped,
        "failed": failed,
        "recipe": RECIPE,
        "turns": turns,
        "around": around,
        "memory": memory,
        "ratios": ratios,
    }


def steps(
    recipe: str, threads: int, rounds: int, logs: Path, say: Callable[[str], None], one_thread: bool = False
) -> tuple[dict[str, Turns], dict[str, str], dict[str, str]]:
    """Seconds of a step of each kind; who was skipped and who failed, and why.

    With one_thread each has one, on one processor, and its processor time is what counts: what else the machine does
    changes that least.
    """
    skipped = {name: reason for name, package in KINDS.items() if (reason := absent(package))}
    failed: dict[str, str] = {}
    started: dict[str, Process] = {}
    with ExitStack() as processes:
        for name in [name for name in KINDS if name not in skipped]:
            say(f"starting {name}")
            log = logs / f"step-{name.replace(' ', '-')}.txt"
            try:
                process = Process(open_step, name, recipe, one_thread, log=log, threads=threads)
                started[name] = processes.enter_context(closing(process))
            except TurnError as err:
                failed[name] = str(err)
        asked = {name: partial(process.ask, run_steps, 2, 1, one_thread) for name, process in started.items()}
        turns, broken = alternate(asked, rounds, say)
    return turns, skipped, failed | broken


def run_steps(step: Callable[[], object], runs: int, warm: int, one_thread: bool) -> list[float]:
    """In the competitor's process: seconds of each step."""
    return timed(step, runs, warm, time.process_time if one_thread else time.perf_counter)


def open_step(kind: str, recipe: str, one_thread: bool) -> Callable[[], object]:
    """A step of one of KINDS on random images, compiled."""
    import numpy as np

    from avatar_training.config import TrainConfig

    if one_thread and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    config = TrainConfig.from_recipe(recipe, data="", diff_augment=False)  # PyTorch's twin has none
    shape = (config.batch_size, config.channels, config.image_size, config.image_size)
    real = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    if kind.startswith("PyTorch"):
        import torch

        from benchmarks.baselines.pytorch_training import PyTorchGan

        torch.set_num_threads(1 if one_thread else int(os.environ["OMP_NUM_THREADS"]))
        twin = PyTorchGan(config, torch.channels_last if kind.endswith("last") else torch.contiguous_format)
        return partial(twin.step, torch.randn(config.batch_size, config.latent_dim, 1, 1), torch.from_numpy(real))
    from mindspore import device_context

    from avatar_training.device import select
    from avatar_training.networks.gan import Gan
    from avatar_training.step import TrainingStep

    select("CPU")
    device_context.cpu.op_tuning.threads_num(1 if one_thread else int(os.environ["OMP_NUM_THREADS"]))
    gan = Gan(config) if kind == OURS else with_mindspores_layers(config)
    return partial(TrainingStep(gan).run, 0, real, config.learning_rate)


def with_mindspores_layers(config: Any) -> Any:
    """The Gan of a config as it would be on another device than a CPU."""
    from avatar_training.networks import gan
    from avatar_training.networks.discriminator import Discriminator
    from avatar_training.networks.generator import Generator

    def plain(network: Callable[..., object]) -> Callable[..., object]:
        return lambda *args, **options: network(*args[:4])

    with mock.patch.multiple(gan, Generator=plain(Generator), Discriminator=plain(Discriminator)):
        return gan.Gan(config)


def outside_the_step(data: Path, recipe: str, count: int) -> dict[str, float]:
    """Seconds of a run: inside its steps, between two of them, and in the tick that comes once in `every` steps."""
    from avatar_training import loop
    from avatar_training.config import TrainConfig
    from avatar_training.step import TrainingStep

    calls: list[tuple[float, float]] = []

    class Timed(TrainingStep):
        def run(self, *args: Any) -> tuple[float, float, float]:
            began = time.perf_counter()
            losses = super().run(*args)
            calls.append((began, time.perf_counter()))
            return losses

    config = TrainConfig.from_recipe(recipe, data=str(data), steps=count + 1, snapshot_every=count + 1)
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(loop, "TrainingStep", Timed):
        loop.train(config, Path(folder) / "run")
        tick = time.perf_counter() - calls[-1][1]
    calls = calls[1:]  # the first compiles
    inside = sum(end - began for began, end in calls) / len(calls)
    between = (calls[-1][1] - calls[0][0] - inside * len(calls)) / (len(calls) - 1)
    every = TrainConfig.from_recipe(recipe, data="").snapshot_every
    outside = between + tick / every
    return {"inside": inside, "between": between, "tick": tick, "every": every, "share": outside / (outside + inside)}


def _in_a_process(function: Callable[..., Any], *args: Any) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, args)


def tables(part: dict[str, Any]) -> list[Table]:
    """Steps, what is outside, memory."""
    turns: dict[str, Turns] = part["turns"]
    rows = [[name, milliseconds(seconds(row)), times(ratio(row, turns[OURS]))] for name, row in turns.items()]
    rows += [[name, f"failed: {reason}", ""] for name, reason in part["failed"].items()]
    around, memory = part["around"], part["memory"]
    outside = [
        ["a step", f"{around['inside'] * 1e3:.0f} ms"],
        ["between two steps", f"{around['between'] * 1e3:.1f} ms"],
        [f"once in {around['every']} steps", f"{around['tick'] * 1e3:.0f} ms"],
        ["share of the time outside steps", f"{around['share']:.1%}"],
    ]
    held = [
        ["when the images are decoded", f"{memory['decoded']} MB"],
        ["after each tick", ", ".join(f"{value} MB" for value in memory["ticked"])],
        ["at most", f"{memory['peak']} MB"],
    ]
    return [
        Table(f"A training step, recipe {part['recipe']}", ["", "milliseconds", "of ours"], rows),
        Table("Outside the step", ["", "time"], outside),
        Table(f"Memory of a run on {IMAGES:,} images", ["", "resident"], held),
    ]


def headline(part: dict[str, Any]) -> str:
    """Ours beside PyTorch's."""
    turns: dict[str, Turns] = part["turns"]
    others = [f"{ratio(row, turns[OURS]).median:.2f} of it by {name}" for name, row in turns.items() if name != OURS]
    return f"A training step in {seconds(turns[OURS]).median * 1e3:.0f} ms; {', '.join(others)}."


def bars(part: dict[str, Any]) -> dict[str, Bars]:
    """Steps."""
    shown = [Bar(name, seconds(row), name == OURS) for name, row in part["turns"].items()]
    shown += [Bar(name, None, name == OURS) for name in part["failed"]]
    return {"training": Bars(f"A training step, recipe {part['recipe']}", [("", shown)], "ms", 1e3)}
