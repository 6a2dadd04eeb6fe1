"""The training loop: steps, ticks, snapshots, and how a run ends."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from avatar_runtime.latents import latents
from avatar_runtime.pixels import make_folder, write_file
from avatar_training import checkpoint, dataset, device, draws, lockstep, workers
from avatar_training.best import Best
from avatar_training.config import TrainConfig, TrainingError, read_run, refuse_changes
from avatar_training.gan import Gan
from avatar_training.kid import FeatureNetwork
from avatar_training.report import PREVIEW_NAMES, Report


@dataclass(frozen=True)
class Progress:
    """Where a run stands after a step."""

    step: int
    """Steps done."""
    steps: int
    """Steps to do in all."""
    g_loss: float
    d_loss: float
    images_per_second: float
    """Speed since the last tick."""
    seconds_left: float
    """Time to the end at that speed."""


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    out: Path
    """The run folder, with generator.ckpt, discriminator.ckpt and config.json."""
    step: int
    """Steps done."""
    finished: bool
    """False if it was asked to stop."""


def train(
    config: TrainConfig,
    out: Path,
    *,
    resume: bool = False,
    new: bool = False,
    on_message: Callable[[str], None] = lambda message: None,
    on_decoded: Callable[[int, int], None] | None = None,
    on_step: Callable[[Progress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Result:
    """Train into the folder `out`, from the start or, with resume, from its newest snapshot.

    With new, a run that is already in out is first renamed out.1, out.2, … and kept. should_stop is asked after each
    step; when it says yes the run saves everything and returns. A resumed run computes what an uninterrupted one would
    have, bit for bit on a CPU. Raises TrainingError if out already holds a run (without resume or new) or none (with
    resume), if the config differs from the run's in a field that changes a step, or if a loss is no longer finite;
    DataError, FeaturesError, CheckpointError and OutputError as their modules do.

    In a job of msrun every worker calls it; all but worker 0 only compute: they leave out alone and say nothing.
    """
    target = device.select(config.device_target)
    team = workers.join(config.batch_size)
    amp = target != "CPU" if config.amp is None else config.amp
    if team.rank:
        return Result(out, *lockstep.follow(config, team, amp, should_stop))
    saved = None if new else read_run(out)
    if resume and saved is None:
        raise TrainingError(f"{out} holds no run to resume; leave out --resume to start one")
    if not resume and saved is not None:
        raise TrainingError(f"{out} already holds a run; go on with --resume, or start over with --new")
    if saved is not None:
        refuse_changes(saved, config, out)
    network = FeatureNetwork(Path(config.features)) if config.features and config.kid_every else None
    faces = dataset.load(Path(config.data), config.image_size, config.channels, on_decoded)
    on_message(f"{len(faces.images)} images of {config.data} on {_describe_devices(target, amp, team)}")
    if faces.skipped:
        on_message(faces.summary())
    per_epoch = dataset.steps_per_epoch(len(faces.images), config.batch_size)
    steps = config.steps if config.steps is not None else per_epoch * (config.epochs or 0)

    if new and (out / "config.json").exists():
        on_message(f"the run that was in {out} is now in {_set_aside(out)}")
    make_folder(out)
    gan, report = Gan(config, team, amp), Report(out)
    start = 0
    if saved is not None:
        if saved["dataset"]["sha256"] != faces.sha256:
            raise TrainingError(
                f"{config.data} holds other images than {out} was trained on; give --data the same ones"
            )
        start = _restore(gan, out, on_message)
        report.rewind(start)
    write_file(out / "config.json", _describe(config, faces))
    report.samples(faces.images[draws.order(config.seed, 0, len(faces.images))[:30]])

    best = Best(out, network, faces, on_message) if network else None
    if best and best.lowest is None and start:
        report.step(step=start, **best.measure(gan, start))
    preview_latents = latents(PREVIEW_NAMES, config.latent_dim)
    if start == 0:
        report.tick(0, gan.draw(preview_latents))
    lockstep.lead(gan, faces.sha256, start, steps)
    began, since = time.monotonic(), start
    step, wished = start, False
    for real in dataset.batches(faces, config, start, steps, team.rows(config.batch_size)):
        g_loss, d_loss = gan.step(step, real)
        step += 1
        if not (math.isfinite(g_loss) and math.isfinite(d_loss)):
            raise TrainingError(
                f"the loss is no longer finite at step {step} (G {g_loss}, D {d_loss}); the last good "
                f"snapshot is {_newest(out)}; start over with a lower --learning-rate or another --seed"
            )
        speed = (step - since) * config.batch_size / (time.monotonic() - began)
        report.step(step=step, g_loss=g_loss, d_loss=d_loss, images_per_second=round(speed, 2))
        on_step(Progress(step, steps, g_loss, d_loss, speed, (steps - step) * config.batch_size / speed))
        if best and (step % config.kid_every == 0 or step == steps):
            report.step(step=step, **best.measure(gan, step))
        stop = should_stop() or wished
        if step % config.tick == 0 or step == steps or stop:
            _save(gan, out, step)
            report.tick(step, gan.draw(preview_latents))
            began, since = time.monotonic(), step
        _, wished = team.agree(workers.STOP if stop else workers.GO)
        if stop:
            break
    return Result(out, step, finished=step >= steps)


def _describe_devices(target: str, amp: bool, team: workers.Team) -> str:
    devices = target if team.size == 1 else f"{team.size} workers, {target}"
    return f"{devices} in mixed precision" if amp else devices


def _describe(config: TrainConfig, faces: dataset.Faces) -> bytes:
    run = {"config": config.to_dict(), "dataset": {"images": len(faces.images), "sha256": faces.sha256}}
    return (json.dumps(run, indent=2) + "\n").encode()


def _set_aside(out: Path) -> Path:
    free = next(old for i in count(1) if not (old := out.with_name(f"{out.name}.{i}")).exists())
    return out.rename(free)


def _save(gan: Gan, out: Path, step: int) -> None:
    checkpoint.save_snapshot(out / "snapshots", step, gan.state())
    checkpoint.save(out / "generator.ckpt", gan.averaged_generator(step))
    checkpoint.save(out / "discriminator.ckpt", {p.name: p for p in gan.discriminator.get_parameters()})


def _newest(out: Path) -> Path | str:
    return next(iter(checkpoint.snapshots(out / "snapshots")), "none yet")


def _restore(gan: Gan, out: Path, on_message: Callable[[str], None]) -> int:
    """Load the newest snapshot that can be read and say which; 0 if the run died before its first."""
    for path in checkpoint.snapshots(out / "snapshots"):
        try:
            arrays = checkpoint.read(path)
            checkpoint.load_into(gan.state().values(), arrays, path)
        except checkpoint.CheckpointError as err:
            on_message(f"cannot resume from {path.name} ({err}); trying the one before")
            continue
        on_message(f"resuming from {path}")
        return checkpoint.snapshot_step(path)
    on_message(f"{out} holds no snapshot; starting from step 0")
    return 0
