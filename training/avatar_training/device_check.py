"""Whether a device computes what a CPU computes: the first steps of a small run on each, compared."""

import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context

import numpy as np

from avatar_runtime.errors import InputError
from avatar_training import cuda, device, rng
from avatar_training.config import TrainConfig
from avatar_training.errors import TrainingError

STEPS = 3
BATCH = 16

TOLERANCE = 0.01
"""Largest relative difference of a loss of the first step. A GPU may round factors to ten bits (TF32)."""


@dataclass(frozen=True)
class Steps:
    """What the steps gave."""

    target: str
    """The device that was taken."""
    losses: tuple[tuple[float, float], ...]
    """Of generator and discriminator, step by step."""
    seconds: float
    """That the last step took."""

    def __str__(self) -> str:
        losses = ", ".join(f"G {g:.4f} D {d:.4f}" for g, d in self.losses)
        return f"{self.target}: {self.seconds:.2f} s a step of {BATCH} images in float32; losses {losses}"


def check_device(target: str = "auto") -> Iterator[str]:
    """Say in sentences, one by one, which devices there are, and what training steps on one of them give.

    The steps are the recipe edge's, on images of noise. Each device computes in a process of its own, because MindSpore
    keeps the device that it has once taken, and because a driver that does not fit may end the process.

    Raises:
        InputError: there is no such device, or something is missing that it needs.
        TrainingError: the process crashed, a loss is not finite, or one is not the CPU's.
    """
    yield f"MindSpore {version('mindspore')}"
    try:
        gpu = cuda.find_gpu()
        libraries = cuda.find_libraries()
        yield f"GPU: {gpu}; CUDA from {'the wheels of pip' if libraries else os.environ['CUDA_HOME']}"
    except InputError as err:
        if target == "GPU":
            raise
        yield f"GPU: {err}"
    found = _apart(target)
    yield str(found)
    if not np.isfinite(found.losses).all():
        raise TrainingError(f"a loss on {found.target} is not finite; do not train on it")
    if found.target == "CPU":
        return
    expected = _apart("CPU")
    yield str(expected)
    differences = [_difference(*pair) for pair in zip(found.losses, expected.losses, strict=True)]
    yield f"largest relative difference of a loss, step by step: {', '.join(f'{x:.1e}' for x in differences)}"
    if differences[0] > TOLERANCE:
        raise TrainingError(
            f"the first step on {found.target} is not the CPU's: its losses differ by {differences[0]:.2g} of "
            f"their size, and {TOLERANCE} is allowed; do not train on it"
        )


def compute(target: str) -> Steps:
    """Take a device for good, and do the steps."""
    device.prepare(target)
    taken = device.select(target)
    from avatar_training.networks.gan import Gan
    from avatar_training.step import TrainingStep

    config = TrainConfig.from_recipe("edge", data="noise", batch_size=BATCH)
    training = TrainingStep(Gan(config))
    losses, start = [], 0.0
    for step in range(STEPS):
        start = time.monotonic()
        real = 2 * rng.uniform(config.seed, rng.ORDER, step, (BATCH, config.channels, *2 * (config.image_size,))) - 1
        g_loss, d_loss, _ = training.run(step, real, config.learning_rate)
        losses.append((g_loss, d_loss))
    return Steps(taken, tuple(losses), time.monotonic() - start)


def _apart(target: str) -> Steps:
    """Compute in a new process. Raises TrainingError if that fails."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        try:
            return executor.submit(compute, target).result()
        except BrokenProcessPool as err:
            raise TrainingError(f"the process that was to compute a training step ({target}) crashed") from err
        except RuntimeError as err:  # MindSpore's, in paragraphs between rules; the last is for its developers
            said = re.sub(r"-{9,}\n- |-{9,}", " ", str(err).partition("- C++ Call Stack")[0])
            raise TrainingError(f"no training step can be computed ({target}): {' '.join(said.split())}") from err


def _difference(found: tuple[float, float], expected: tuple[float, float]) -> float:
    return max(abs(a - b) / abs(b) for a, b in zip(found, expected, strict=True))
