"""A run folder that this process has locked: how a run starts there, resumes, saves and goes back."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from mindspore import Parameter

from avatar_runtime.latents import latents
from avatar_runtime.output.atomic import make_folder
from avatar_training import rng
from avatar_training.config import TrainConfig
from avatar_training.data import dataset
from avatar_training.errors import Diverged, TrainingError
from avatar_training.metrics.features import FeatureNetwork
from avatar_training.networks import moving_average
from avatar_training.report.recorder import PREVIEW_NAMES, Report
from avatar_training.run_folder import checkpoint, divergence, lock
from avatar_training.run_folder.best import Best
from avatar_training.run_folder.environment import environment
from avatar_training.run_folder.growing import grow
from avatar_training.run_folder.record import has_record, read_record, refuse_changes, write_record
from avatar_training.run_folder.resume import remove_temporary_files, restore, set_aside
from avatar_training.step import TrainingStep

ADDITION = re.compile(r"residual_blocks\.\d+\.\d+\.|across_channels\.|across_scales\.|heads\.")
"""What the names of a residual block and of the feature heads begin with: parts that a trained pair may lack."""

FIRST_LAYER = re.compile(r"(discriminator|heads\.\d+)\.0\.(weight|v)")
"""What a discriminator's first layer and its singular vector of the inputs are called."""

MAX_ROLLBACKS = 3
"""How often a run may go back to a snapshot because training diverged."""


@contextmanager
def open_run(
    config: TrainConfig,
    out: Path,
    *,
    resume: bool,
    restart: bool,
    on_message: Callable[[str], None],
    on_decoded: Callable[[int, int], None] | None,
) -> Iterator["Run"]:
    """Lock a run folder, check that the run may start or continue there, and load its images. See `loop.train`."""
    with ExitStack() as locks:
        exists = has_record(out)
        if exists:
            locks.enter_context(lock.held(out))
        saved = None if restart else read_record(out, on_message)
        if resume and saved is None:
            raise TrainingError(f"{out} holds no run to resume; leave out --resume to start one")
        if not resume and saved is not None:
            raise _already_a_run(out)
        if saved is not None:
            if refuse_changes(saved, config, out):
                critics = ", ".join(map(" with ".join, zip(config.critic, config.critic_network, strict=True)))
                on_message(f"the run goes on with another critic: {critics}")
            config = replace(config, rollbacks=tuple(saved["config"].get("rollbacks", ())))
        network = FeatureNetwork(Path(config.kid_network)) if config.kid_network and config.kid_every else None
        faces = dataset.load(Path(config.data), config.image_size, config.channels, on_decoded)
        if faces.skipped:
            on_message(faces.summary())
        steps = config.total_steps(dataset.steps_per_epoch(len(faces.images), config.batch_size))
        if saved is not None and saved["dataset"]["sha256"] != faces.sha256:
            raise TrainingError(f"{config.data} holds other images than {out} was trained on; pass the same --data")
        if restart and exists:
            on_message(f"the run that was in {out} is now in {set_aside(out)}")
        if saved is None:
            make_folder(out)
            locks.enter_context(lock.held(out))
            if has_record(out):  # another process was faster
                raise _already_a_run(out)
        run = Run(config, out, faces, steps, on_message)
        if network:
            run.best = Best(out, network, faces, on_message)
        yield run


class Run:
    """A run in a locked folder."""

    def __init__(
        self, config: TrainConfig, out: Path, faces: dataset.Faces, steps: int, on_message: Callable[[str], None]
    ) -> None:
        self.config, self.out, self.faces, self.steps, self.on_message = config, out, faces, steps, on_message
        self.report = Report(out)
        self._files = config.file_digests()
        self.best: Best | None = None
        self.devices = ""
        """Devices in words, for config.json."""
        self._preview_latents = latents(PREVIEW_NAMES, config.latent_dim)
        self._real = faces.images[rng.order(config.seed, 0, len(faces.images))[: len(PREVIEW_NAMES)]]

    def start(self, training: TrainingStep) -> int:
        """Write what a run has from its first moment, a snapshot included. Returns the first step: 0."""
        remove_temporary_files(self.out)
        gan = training.gan
        if pair := self.config.init_from:
            read = checkpoint.read_pair(Path(pair))
            if checkpoint.is_bounded(read) != self.config.bounded:
                first = "leave out --bounded, or use avatar-train bound"
                advice = first if self.config.bounded else "pass --bounded"
                raise TrainingError(f"the generator in {pair} is {'not ' * self.config.bounded}bounded: {advice}")
            arrays = grow(read, self.config.image_size, self.config.seed, Path(pair))
            parameters = _without_additions(gan.trained_parameters(), arrays)
            if self.config.mirror:
                arrays = _with_mirror_images(arrays, parameters)
            checkpoint.load_into(parameters, arrays, Path(pair))
            moving_average.reset(gan.averaged)
            self.on_message(f"starting from the networks in {pair}")
        self._write_record()
        self.report.samples(self._real)
        self.report.preview(0, gan.draw(self._preview_latents))
        checkpoint.save_snapshot(self.out / "snapshots", 0, training.state(), self.config.keep)
        return 0

    def resume(self, training: TrainingStep) -> int:
        """Load the newest intact snapshot. Returns the number of steps it has behind it."""
        remove_temporary_files(self.out)
        step = restore(training.state().values(), self.out, self.on_message)
        self._rewind(step)
        if step == 0:
            return self.start(training)
        self._write_record()
        self.report.samples(self._real)
        self.report.page()
        if self.best and self.best.lowest is None:
            self.measure(training, step)
        return step

    def save(self, training: TrainingStep, step: int) -> None:
        """Check and save the state after a step. The snapshot comes last: if it exists, everything else does too."""
        gan, state = training.gan, training.state()
        divergence.check_weights(step, state.values())
        images = gan.draw(self._preview_latents)
        diversity = divergence.diversity(images)
        self.report.step(step=step, diversity=round(diversity, 2))
        divergence.check_diversity(step, diversity, divergence.diversity(self._real))
        checkpoint.save(self.out / "generator.ckpt", gan.averaged_generator(step))
        checkpoint.save(self.out / "discriminator.ckpt", {p.name: p for p in gan.discriminator_parameters()})
        self.report.preview(step, images)
        self.report.sync()
        write_record(self.out, self.report.record)  # it may have been lost meanwhile
        checkpoint.save_snapshot(self.out / "snapshots", step, state, self.config.keep)

    def measure(self, training: TrainingStep, step: int) -> None:
        """Measure the generator's KID, and keep it as best.ckpt if it is the lowest."""
        if self.best:
            self.report.step(step=step, **self.best.measure(training.gan, step))

    def allow_rollback(self, reason: Diverged) -> None:
        """Announce a rollback. Raises Diverged, with advice, if the run may not or no longer go back."""
        if not self.config.rollback or len(self.config.rollbacks) == MAX_ROLLBACKS:
            advice = "start over with a lower --learning-rate or another --seed"
            if not self.config.rollback:
                advice = f"continue from it with --resume --rollback, or {advice}"
            raise Diverged(f"{reason}; the last good snapshot is {self.newest_snapshot()}; {advice}") from reason
        nth = len(self.config.rollbacks) + 1
        self.on_message(f"{reason}; rollback {nth} of {MAX_ROLLBACKS}: continuing from a snapshot with a new seed")

    def roll_back(self, training: TrainingStep) -> int:
        """Load the newest intact snapshot, which `save` found good, and change the seed from there on."""
        step = restore(training.state().values(), self.out, self.on_message)
        self.config = training.config = replace(self.config, rollbacks=(*self.config.rollbacks, step))
        self._write_record()  # before the first step: whoever resumes must draw the same numbers
        self._rewind(step)
        return step

    def newest_snapshot(self) -> Path | None:
        """The newest snapshot, for a message."""
        return next(iter(checkpoint.snapshots(self.out / "snapshots")), None)

    def _rewind(self, step: int) -> None:
        for sentence in self.report.rewind(step):
            self.on_message(sentence)

    def _write_record(self) -> None:
        skipped = {reason: len(names) for reason, names in self.faces.skipped.items()}
        images = {"images": len(self.faces.images), "sha256": self.faces.sha256, "skipped": skipped}
        depends_on = {"config": self.config.to_dict(), "dataset": images, "files": self._files}
        self.report.record = {**depends_on, "environment": environment(self.devices)}
        write_record(self.out, self.report.record)


def _without_additions(parameters: list[Parameter], arrays: checkpoint.Arrays) -> list[Parameter]:
    """The parameters without those of parts that the arrays have nothing of and that can be added to a trained pair."""
    present = {found[0] for name in arrays if (found := ADDITION.match(name))}
    return [p for p in parameters if not (found := ADDITION.match(p.name)) or found[0] in present]


def _with_mirror_images(arrays: checkpoint.Arrays, parameters: list[Parameter]) -> checkpoint.Arrays:
    """The arrays, with zeros for what discriminators that saw no mirror images will read of them."""
    padded = dict(arrays)
    for parameter in parameters:
        if FIRST_LAYER.fullmatch(parameter.name) and (array := arrays.get(parameter.name)) is not None:
            missing = [(0, max(0, wanted - size)) for wanted, size in zip(parameter.shape, array.shape, strict=True)]
            padded[parameter.name] = np.pad(array, missing)
    return padded


def _already_a_run(out: Path) -> TrainingError:
    return TrainingError(f"{out} already holds a run; continue it with --resume, or start over with --restart")
