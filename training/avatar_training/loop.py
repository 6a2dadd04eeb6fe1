"""The training loop: steps, snapshots, and how a run ends."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatar_runtime.errors import OutputError
from avatar_training import device, lockstep
from avatar_training.config import TrainConfig
from avatar_training.data import dataset
from avatar_training.distributed.worker_group import CONTINUE, RESTORE, STOP, check_batch_size, join
from avatar_training.errors import Diverged
from avatar_training.networks.gan import Gan
from avatar_training.optimizer import learning_rate_at
from avatar_training.run_folder import divergence
from avatar_training.run_folder.run import Run, open_run
from avatar_training.step import TrainingStep


@dataclass(frozen=True)
class Progress:
    """Where a run is after a step."""

    step: int
    """Steps done."""
    steps: int
    """Steps to do in all."""
    g_loss: float
    d_loss: float
    images_per_second: float
    """Speed since the last snapshot."""


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    out: Path
    """The run folder, with generator.ckpt, discriminator.ckpt and config.json."""
    step: int
    """Steps done."""
    finished: bool
    """False if it was asked to stop."""


def train(config: TrainConfig, out: Path, *, resume: bool = False, restart: bool = False,
          on_message: Callable[[str], None] = lambda message: None,
          on_decoded: Callable[[int, int], None] | None = None,
          on_step: Callable[[Progress], None] = lambda progress: None,
          should_stop: Callable[[], bool] = lambda: False) -> Result:  # fmt: skip
    """Train in the run folder `out`. Under msrun every worker calls it; all but worker 0 only compute.

    On a CPU a resumed run computes what an uninterrupted one would have, bit for bit.

    Args:
        config: the configuration; one that resumes may differ only in `config.CHANGEABLE`.
        out: the run folder.
        resume: continue from the newest intact snapshot.
        restart: start over; a run already in `out` is renamed out.1, out.2, … and kept.
        on_message: called with sentences for the user.
        on_decoded: called with the number of images read so far and in all.
        on_step: called after each step.
        should_stop: asked after each step; when it returns True, the run saves everything and ends.

    Raises:
        TrainingError: `out` holds a run (without resume or restart) or none (with resume), another process trains
            there, or config would not continue the run exactly; Diverged: training went wrong.
        DataError, FeaturesError, CheckpointError, OutputError: as in `data.dataset`, `metrics.features`, `run_folder`.
    """
    check_batch_size(config.batch_size)
    target = device.select(config.device_target, only_products=not config.amp and device.worker_count() == 1)
    amp = target != "CPU" if config.amp is None else config.amp
    if not device.is_leader():
        return Result(out, *lockstep.follow(config, amp, should_stop))
    settings: Any = {"resume": resume, "restart": restart, "on_message": on_message, "on_decoded": on_decoded}
    with open_run(config, out, **settings) as run, _saying_how_to_continue(run):
        workers = join()  # Join late: the other workers would otherwise wait while this one loads images.
        run.devices = device.describe(target, amp, workers.size)
        on_message(f"{len(run.faces.images)} images of {config.data} on {run.devices}")
        training = TrainingStep(Gan(run.config, workers, amp))
        step = run.resume(training) if resume else run.start(training)
        while True:
            try:
                return _train_from(step, run, training, on_step, should_stop)
            except Diverged as reason:
                run.allow_rollback(reason)
                workers.barrier(RESTORE)
                training = TrainingStep(Gan(run.config, workers, amp))  # a compiled step does not see restored weights
                step = run.roll_back(training)


@contextmanager
def _saying_how_to_continue(run: Run) -> Iterator[None]:
    try:
        yield
    except (OutputError, OSError) as err:
        reason = err if isinstance(err, OutputError) else f"cannot use {err.filename}: {err.strerror or err}"
        newest = run.newest_snapshot()
        advice = f"continue with --resume from {newest}" if newest else "start again with --restart"
        raise OutputError(f"{reason}; fix that, then {advice}") from err


def _train_from(step: int, run: Run, training: TrainingStep, on_step: Callable[[Progress], None],
                should_stop: Callable[[], bool]) -> Result:  # fmt: skip
    config, workers = run.config, training.gan.workers
    lockstep.align_followers(training, run.faces.sha256, step, run.steps)
    stop_requested, timed_from, start_time = False, step, time.monotonic()
    for real in dataset.batches(run.faces, config, step, run.steps, workers.rows(config.batch_size)):
        g_loss, d_loss, logit = training.run(step, real, learning_rate_at(config, step, run.steps))
        step += 1
        divergence.check_losses(step, g_loss, d_loss)
        seconds = max(time.monotonic() - start_time, 1e-6)  # a clock may stand still
        speed = (step - timed_from) * config.batch_size / seconds
        critic = {"critic": round(logit, 4)} if config.critic else {}
        run.report.step(step=step, g_loss=g_loss, d_loss=d_loss, images_per_second=round(speed, 2), **critic)
        on_step(Progress(step, run.steps, g_loss, d_loss, speed))
        last = step == run.steps
        if run.best and (step % config.kid_every == 0 or last):
            run.measure(training, step)
        stop = should_stop() or stop_requested
        if step % config.snapshot_every == 0 or last or stop:
            run.save(training, step)
            timed_from, start_time = step, time.monotonic()
        _, stop_requested = workers.barrier(STOP if stop else CONTINUE)
        if stop:
            break
    return Result(run.out, step, finished=step >= run.steps)
