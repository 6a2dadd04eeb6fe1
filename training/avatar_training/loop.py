"""The training loop: steps, ticks, snapshots, and how a run ends."""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from avatar_runtime.errors import OutputError
from avatar_runtime.latents import latents
from avatar_runtime.output.atomic import make_folder, write_file
from avatar_training import device, rng
from avatar_training.config import TrainConfig, TrainingError, read_run, refuse_changes
from avatar_training.data import dataset
from avatar_training.distributed import lockstep
from avatar_training.distributed.team import AGAIN, GO, STOP, Team, check_share, join
from avatar_training.gan import Gan
from avatar_training.metrics.kid import FeatureNetwork
from avatar_training.objective import reward
from avatar_training.report.recorder import PREVIEW_NAMES, Report
from avatar_training.run_folder import checkpoint, divergence, lock
from avatar_training.run_folder.best import Best
from avatar_training.run_folder.environment import environment
from avatar_training.run_folder.resume import restore, set_aside, sweep

MAX_ROLLBACKS = 3
"""How often a run may go back to a snapshot because training diverged."""


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
    """Train into the folder `out`, from the start or, with resume, from its newest intact snapshot.

    With new, a run that is already in out is first renamed out.1, out.2, … and kept. should_stop is asked after each
    step; when it says yes the run saves everything and returns. A resumed run computes what an uninterrupted one would
    have, bit for bit on a CPU. With config.init_from it starts with the weights of a trained pair, and optimisers that
    know nothing yet. Raises TrainingError if out already holds a run (without resume or new) or none (with
    resume), if another process trains there, if the config differs from the run's in a field that changes a step, or
    (Diverged) if training went wrong; DataError, FeaturesError, CheckpointError and OutputError as their modules do.

    In a job of msrun every worker calls it; all but worker 0 only compute: they leave out alone and say nothing.
    """
    check_share(config.batch_size)
    target = device.select(config.device_target)
    amp = target != "CPU" if config.amp is None else config.amp
    if not device.leads():
        return Result(out, *lockstep.follow(config, amp, should_stop))
    with ExitStack() as locks:
        there = (out / "config.json").exists()
        if there:
            locks.enter_context(lock.held(out))
        saved = None if new else read_run(out)
        if resume and saved is None:
            raise TrainingError(f"{out} holds no run to resume; leave out --resume to start one")
        if not resume and saved is not None:
            raise _already_there(out)
        if saved is not None:
            refuse_changes(saved, config, out)
            config = replace(config, rollbacks=tuple(saved["config"].get("rollbacks", ())))
        network = FeatureNetwork(Path(config.features)) if config.features and config.kid_every else None
        faces = dataset.load(Path(config.data), config.image_size, config.channels, on_decoded)
        if faces.skipped:
            on_message(faces.summary())
        per_epoch = dataset.steps_per_epoch(len(faces.images), config.batch_size)
        steps = config.steps if config.steps is not None else per_epoch * (config.epochs or 0)
        if saved is not None and saved["dataset"]["sha256"] != faces.sha256:
            raise TrainingError(
                f"{config.data} holds other images than {out} was trained on; give --data the same ones"
            )
        if saved is not None and saved.get("critic") != reward.digests(config):
            raise TrainingError(
                f"{out} was begun with another critic or none; give --critic and --critic-network as then, or begin "
                "another run from its networks with --init-from"
            )
        if new and there:
            on_message(f"the run that was in {out} is now in {set_aside(out)}")
        if saved is None:
            make_folder(out)
            locks.enter_context(lock.held(out))
            if read_run(out) is not None:  # another process was faster
                raise _already_there(out)
        best = Best(out, network, faces, on_message) if network else None
        team = join()  # no earlier: the others would wait for what comes before
        devices = _describe_devices(target, amp, team)
        on_message(f"{len(faces.images)} images of {config.data} on {devices}")
        run = _Run(Gan(config, team, amp), amp, out, devices, faces, steps, on_message, on_step, should_stop)
        start = run.begin() if saved is None else run.resume()
        return run.go_on(start, best)


def _already_there(out: Path) -> TrainingError:
    return TrainingError(f"{out} already holds a run; go on with --resume, or start over with --new")


def _describe_devices(target: str, amp: bool, team: Team) -> str:
    devices = target if team.size == 1 else f"{team.size} workers, {target}"
    return f"{devices} in mixed precision" if amp else devices


class _Run:
    """A run under way, in a folder that is ours alone."""

    def __init__(
        self,
        gan: Gan,
        amp: bool,
        out: Path,
        devices: str,
        faces: dataset.Faces,
        steps: int,
        on_message: Callable[[str], None],
        on_step: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self.gan, self.amp, self.out, self.devices, self.faces, self.steps = gan, amp, out, devices, faces, steps
        self.on_message, self.on_step, self.should_stop = on_message, on_step, should_stop
        self.report = Report(out)
        self.preview_latents = latents(PREVIEW_NAMES, gan.config.latent_dim)
        self.samples = faces.images[rng.order(gan.config.seed, 0, len(faces.images))[: len(PREVIEW_NAMES)]]

    def begin(self) -> int:
        """Put down what a run has from its first moment, a snapshot included; the step to begin with."""
        if pair := self.gan.config.init_from:
            self.gan.begin_from(Path(pair))
            self.on_message(f"beginning from the networks in {pair}")
        self._describe()
        self.report.samples(self.samples)
        self.report.tick(0, self.gan.draw(self.preview_latents))
        checkpoint.save_snapshot(self.out / "snapshots", 0, self.gan.state(), self.gan.config.keep)
        return 0

    def resume(self) -> int:
        """Load the newest intact snapshot; the step to go on with."""
        sweep(self.out)
        start = restore(self.gan.state().values(), self.out, self.on_message)
        self.report.rewind(start)
        if start == 0:
            return self.begin()
        self._describe()
        self.report.samples(self.samples)
        self.report.page()
        return start

    def go_on(self, start: int, best: Best | None) -> Result:
        """Train from a step to the end, going back where that is wanted."""
        if best and best.lowest is None and start:
            self.report.step(step=start, **best.measure(self.gan, start))
        while True:
            try:
                lockstep.lead(self.gan, self.faces.sha256, start, self.steps)
                return self._steps(start, best)
            except divergence.Diverged as reason:
                start = self._roll_back(reason)
            except OutputError as err:
                raise OutputError(f"{err}; mend that and go on with --resume from {self._newest()}") from err

    def _steps(self, start: int, best: Best | None) -> Result:
        gan, config, team = self.gan, self.gan.config, self.gan.team
        began, since = time.monotonic(), start
        step, wished = start, False
        for real in dataset.batches(self.faces, config, start, self.steps, team.rows(config.batch_size)):
            g_loss, d_loss, logit = gan.step(step, real, config.learning_rate_at(step, self.steps))
            step += 1
            divergence.check_losses(step, g_loss, d_loss)
            speed = (step - since) * config.batch_size / (time.monotonic() - began)
            said = {"critic": round(logit, 4)} if gan.reward else {}
            self.report.step(step=step, g_loss=g_loss, d_loss=d_loss, images_per_second=round(speed, 2), **said)
            left = (self.steps - step) * config.batch_size / speed
            self.on_step(Progress(step, self.steps, g_loss, d_loss, speed, left))
            if best and (step % config.kid_every == 0 or step == self.steps):
                self.report.step(step=step, **best.measure(gan, step))
            stop = self.should_stop() or wished
            if step % config.tick == 0 or step == self.steps or stop:
                self._tick(step)
                began, since = time.monotonic(), step
            _, wished = team.agree(STOP if stop else GO)
            if stop:
                break
        return Result(self.out, step, finished=step >= self.steps)

    def _tick(self, step: int) -> None:
        """Check and save what a step has led to. The snapshot comes last: where there is one, all else is there too."""
        gan, state = self.gan, self.gan.state()
        divergence.check_weights(step, state.values())
        images = gan.draw(self.preview_latents)
        diversity = divergence.diversity(images)
        self.report.step(step=step, diversity=round(diversity, 2))
        divergence.check_diversity(step, diversity, divergence.diversity(self.samples))
        checkpoint.save(self.out / "generator.ckpt", gan.averaged_generator(step))
        checkpoint.save(self.out / "discriminator.ckpt", {p.name: p for p in gan.discriminator.get_parameters()})
        self.report.tick(step, images)
        checkpoint.save_snapshot(self.out / "snapshots", step, state, gan.config.keep)

    def _roll_back(self, reason: divergence.Diverged) -> int:
        """Go back to the newest intact snapshot, which `_tick` found good, and on with other random numbers."""
        config = self.gan.config
        if not config.rollback or len(config.rollbacks) == MAX_ROLLBACKS:
            advice = "start over with a lower --learning-rate or another --seed"
            if not config.rollback:
                advice = f"go on from it with --resume --rollback, or {advice}"
            raise divergence.Diverged(f"{reason}; the last good snapshot is {self._newest()}; {advice}") from reason
        nth = len(config.rollbacks) + 1
        self.on_message(f"{reason}; rollback {nth} of {MAX_ROLLBACKS}: going back, and on with other random numbers")
        self.gan.team.agree(AGAIN)
        self.gan = Gan(config, self.gan.team, self.amp)  # a compiled step would not see new parameters
        start = restore(self.gan.state().values(), self.out, self.on_message)
        self.gan.config = replace(config, rollbacks=(*config.rollbacks, start))
        self._describe()  # before the first step: whoever resumes must draw the same
        self.report.rewind(start)
        return start

    def _describe(self) -> None:
        """Write config.json."""
        images = {"images": len(self.faces.images), "sha256": self.faces.sha256}
        config = self.gan.config
        run = {"config": config.to_dict(), "dataset": images, "environment": environment(self.devices)}
        if critic := reward.digests(config):
            run["critic"] = critic
        write_file(self.out / "config.json", (json.dumps(run, indent=2) + "\n").encode())

    def _newest(self) -> Path | str:
        return next(iter(checkpoint.snapshots(self.out / "snapshots")), "none yet")
