"""Time of a training step beside PyTorch's, time outside the step, and memory of a run."""

import itertools
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.baselines import not_installed
from benchmarks.suite.models import Models
from benchmarks.suite.process import Process, quiet_environment
from benchmarks.suite.setting import Setting
from benchmarks.suite.tables import Table, milliseconds, times
from benchmarks.suite.timing import TurnError, Turns, alternate, ratio, seconds, timed

READ = (
    "One step of recipe edge (batch 16, 64x64 pixels, DiffAugment): the passes, gradients and optimizers of both "
    "networks, and the moving average. Each contender runs in its own process, which is stopped while another runs. "
    "The time outside the step and the memory come from a real run; its memory includes the compiled network."
)
INPUTS = ("data",)
OURS = "avatar-train"
KINDS = {OURS: "mindspore", "PyTorch eager": "torch", "PyTorch channels_last": "torch"}
"""The contenders, and the package that each needs."""
RECIPE, ROUNDS = "edge", 9
IMAGES, SIDE = 1000, 96
"""Number and side of the JPEGs that a run trains on where no --data is given."""
EVERY, SNAPSHOTS = 20, 2
"""Steps between two snapshots in the run, and their number."""


def measure(setting: Setting, make_models: Callable[[], Models], say: Callable[[str], None]) -> dict[str, Any]:
    """Time steps in turns, then make a short run."""
    turns, skipped, failed = time_steps(setting, say)
    if OURS not in turns:
        raise TurnError((failed | skipped)[OURS])
    with tempfile.TemporaryDirectory() as folder:
        data = setting.data
        if data is None:
            data = Path(folder) / "pictures"
            write_pictures(data, IMAGES)
        say("a short run: time outside its steps, and its memory")
        with quiet_environment(setting.threads), multiprocessing.get_context("spawn").Pool(1) as pool:
            run = pool.apply(short_run, (data, Path(folder) / "run"))
    ratios = {f"{OURS}, of {name}": ratio(turns[OURS], row).to_dict() for name, row in turns.items() if name != OURS}
    return {"skipped": skipped, "failed": failed, "recipe": RECIPE, "turns": turns, "run": run, "ratios": ratios}


def time_steps(setting: Setting, say: Callable[[str], None]) -> tuple[dict[str, Turns], dict[str, str], dict[str, str]]:
    """Seconds of a step of each contender; why others were skipped, and why others failed."""
    skipped = {name: reason for name, package in KINDS.items() if (reason := not_installed(package))}
    failed: dict[str, str] = {}
    running: dict[str, Process] = {}
    with ExitStack() as processes:
        for name in [name for name in KINDS if name not in skipped]:
            say(f"starting {name}")
            log = setting.out / "logs" / f"step-{name.replace(' ', '-')}.txt"
            try:
                process = Process(open_step, name, log=log, threads=setting.threads)
                running[name] = processes.enter_context(closing(process))
            except TurnError as err:
                failed[name] = str(err)
        tasks = {name: partial(process.ask, timed, 2, 1) for name, process in running.items()}
        turns, broken = alternate(tasks, setting.rounds(ROUNDS), say)
    return turns, skipped, failed | broken


def open_step(kind: str) -> Callable[[], object]:
    """Compile the step of one of KINDS, on random images."""
    import numpy as np

    from avatar_training.config import TrainConfig

    config = TrainConfig.from_recipe(RECIPE, data="")
    shape = (config.batch_size, config.channels, config.image_size, config.image_size)
    real = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    threads = int(os.environ["OMP_NUM_THREADS"])
    if kind.startswith("PyTorch"):
        import torch

        from benchmarks.baselines.pytorch_training import PyTorchGan

        torch.set_num_threads(threads)
        twin = PyTorchGan(config, torch.channels_last if kind.endswith("last") else torch.contiguous_format)
        return partial(twin.step, torch.randn(config.batch_size, config.latent_dim, 1, 1), torch.from_numpy(real))
    from mindspore import device_context

    from avatar_training.device import select
    from avatar_training.networks.gan import Gan
    from avatar_training.step import TrainingStep

    select("CPU", only_products=True)
    device_context.cpu.op_tuning.threads_num(threads)
    return partial(TrainingStep(Gan(config)).run, 0, real, config.learning_rate)


def write_pictures(folder: Path, count: int) -> None:
    """Write blurred noise as JPEGs."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / f"{i:04}.jpg")


def short_run(data: Path, out: Path) -> dict[str, float]:
    """Train a few steps in this process: seconds of a step and of a snapshot, and memory in MB."""
    from avatar_training.config import TrainConfig
    from avatar_training.loop import train

    ends: list[float] = []
    config = TrainConfig.from_recipe(RECIPE, data=str(data), steps=EVERY * SNAPSHOTS + 2, snapshot_every=EVERY)
    decoded: list[int] = []
    train(
        config,
        out,
        on_message=lambda message: decoded.append(peak_memory()),
        on_step=lambda progress: ends.append(time.perf_counter()),
    )
    intervals = sorted(after - before for before, after in itertools.pairwise(ends))
    step = statistics.median(intervals)
    snapshot = statistics.mean(intervals[-SNAPSHOTS:]) - step  # the longest intervals hold the snapshots
    return {
        "step": step,
        "snapshot": snapshot,
        "every": TrainConfig.from_recipe(RECIPE, data="").snapshot_every,
        "decoded": decoded[0],
        "peak": peak_memory(),
    }


def peak_memory() -> int:
    """The most memory that this process has had, in MB, on Linux."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024 // 10**6


def tables(part: dict[str, Any]) -> list[Table]:
    """Steps, and the short run."""
    turns: dict[str, Turns] = part["turns"]
    rows = [[name, milliseconds(seconds(row)), times(ratio(row, turns[OURS]))] for name, row in turns.items()]
    rows += [[name, f"failed: {reason}", ""] for name, reason in part["failed"].items()]
    run = part["run"]
    share = run["snapshot"] / (run["snapshot"] + run["step"] * run["every"])
    around = [
        ["a step, with loading its batch", f"{run['step'] * 1e3:.0f} ms"],
        [f"snapshot, previews and report, once in {run['every']} steps", f"{run['snapshot'] * 1e3:.0f} ms"],
        ["their share of the time", f"{share:.1%}"],
        ["memory when the images are decoded", f"{run['decoded']} MB"],
        ["peak memory", f"{run['peak']} MB"],
    ]
    return [
        Table(f"A training step, recipe {part['recipe']}", ["", "milliseconds", "of ours"], rows),
        Table(f"A short run, recipe {part['recipe']}", ["", ""], around),
    ]


def headline(part: dict[str, Any]) -> str:
    """Our step beside PyTorch's."""
    turns: dict[str, Turns] = part["turns"]
    others = [
        f"{name} takes {ratio(row, turns[OURS]).median:.2f} times as long"
        for name, row in turns.items()
        if name != OURS
    ]
    return "; ".join([f"A training step takes {seconds(turns[OURS]).median * 1e3:.0f} ms", *others]) + "."
