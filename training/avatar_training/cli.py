"""avatar-train: parses, calls `loop.train`, shows progress."""

import json
import os
import signal
import sys
from contextlib import AbstractContextManager, ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from avatar_runtime.command.terminal import SETTINGS, Command, version_option
from avatar_runtime.errors import AvatarError
from avatar_training import device
from avatar_training.config import (
    DEVICE_TARGETS,
    FACES_URL,
    IMAGE_SIZES,
    LOSSES,
    RECIPES,
    RUNS,
    TrainConfig,
)
from avatar_training.errors import TrainingError
from avatar_training.run_folder.record import newest_run, read_record
from avatar_training.steering.cli import grade, steer

INSTALL = 'pip install "avatar-edge[train]", on Python 3.10 to 3.12, for which MindSpore has wheels'


class _Group(Command, click.Group):
    """Trains when no other command is named."""


@click.group(cls=_Group, invoke_without_command=True, context_settings={**SETTINGS, "show_default": False})
@click.option("--data", metavar="DIR_OR_ZIP", help="Images to learn from; with --resume, the run's own by default.")
@click.option(
    "--download",
    metavar="[URL]",
    is_flag=False,
    flag_value=FACES_URL,
    help="First fetch the zip that --data names, from URL or, without one, the tutorial's 70,171 faces.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Run folder.  [default: runs/RECIPE; with --resume the newest run]",
)
@click.option(
    "--recipe",
    type=click.Choice(list(RECIPES)),
    help="edge: hours of CPU. long: days on an accelerator. tutorial: MindSpore's own.  [default: edge]",
)
@click.option("--init-from", metavar="DIR", help="Begin with the generator.ckpt and discriminator.ckpt in DIR.")
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="Steps in all.  [default: the recipe's]")
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help="Passes over the data, instead of --steps.")
@click.option("--batch-size", type=click.IntRange(min=2), metavar="N", help="Images a step.")
@click.option("--image-size", type=click.Choice(IMAGE_SIZES), help="Pixels a side.  [default: 64]")
@click.option("--channels", type=click.Choice([1, 3]), help="Grey or RGB.  [default: 3]")
@click.option("--latent-dim", type=click.IntRange(min=1), metavar="N", help="Length of a latent.  [default: 100]")
@click.option(
    "--min-truncation",
    type=click.FloatRange(0, 1),
    metavar="T",
    help="Latents are scaled by T to 1, so that avatar-gen --truncation T gives faces too.  [default: 1]",
)
@click.option(
    "--activation-limit",
    type=float,
    metavar="A",
    help="Penalise hidden activations above A: int8 is more exact for it; 0 for none.  [default: 0]",
)
@click.option("--ngf", type=click.IntRange(min=1), metavar="N", help="Width of the generator.  [default: 64]")
@click.option("--ndf", type=click.IntRange(min=1), metavar="N", help="Width of the discriminator.")
@click.option("--loss", type=click.Choice(LOSSES), help="Adversarial loss.")
@click.option("--real-label", type=click.FloatRange(0, 1), metavar="P", help="What real images are labelled.")
@click.option("--learning-rate", type=float, metavar="R", help="Adam's, for both networks.")
@click.option(
    "--lr-decay-steps", type=click.IntRange(min=0), metavar="N", help="The last N steps' rate falls to 0.  [default: 0]"
)
@click.option("--beta1", type=float, metavar="B", help="Adam's first decay.")
@click.option("--beta2", type=float, metavar="B", help="Adam's second decay.")
@click.option("--flip/--no-flip", default=None, help="Mirror half of the images.")
@click.option("--spectral-norm/--no-spectral-norm", default=None, help="In place of the discriminator's batch norm.")
@click.option("--diff-augment/--no-diff-augment", default=None, help="Augment real and generated images alike.")
@click.option("--critic", metavar="FILE.npz", help="A critic learnt from grades, which generated faces shall please.")
@click.option("--critic-network", metavar="FILE.onnx", help="The classifier whose activations the critic weighs.")
@click.option("--reward-weight", type=float, metavar="W", help="What the critic counts.  [default: 0.6]")
@click.option(
    "--reward-images", type=click.IntRange(min=1), metavar="N", help="Images of a batch that it sees.  [default: 8]"
)
@click.option("--ema-decay", type=float, metavar="D", help="Moving average of the generator; 0 for none.")
@click.option(
    "--snapshot-every", type=click.IntRange(min=1), metavar="N", help="Steps between snapshots.  [default: 200]"
)
@click.option(
    "--kid-network", metavar="FILE.onnx", help="A feature network: keep the snapshot of the lowest KID, best.ckpt."
)
@click.option(
    "--kid-every", type=click.IntRange(min=0), metavar="N", help="Steps between two KIDs; 0 for none.  [default: 2000]"
)
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Snapshots kept.  [default: 2]")
@click.option(
    "--rollback/--no-rollback",
    default=None,
    help="If training diverges, go back to the last good snapshot, at most 3 times.",
)
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Decides every random number.  [default: 0]")
@click.option(
    "--device-target", type=click.Choice(DEVICE_TARGETS), help="auto: Ascend, else GPU, else CPU.  [default: auto]"
)
@click.option("--amp/--no-amp", default=None, help="Mixed precision with a loss scaler.  [default: on, but not on CPU]")
@click.option("--resume", is_flag=True, help="Go on from the newest snapshot.")
@click.option("--restart", is_flag=True, help="Start over; a run already in --out is set aside, not deleted.")
@click.option("--dry-run", is_flag=True, help="Show the resolved configuration and stop.")
@version_option
def main(download: str | None, out: Path | None, resume: bool, restart: bool, dry_run: bool, **options: Any) -> None:
    """Train a DCGAN on faces, in steps that survive anything.

    Options without a default take the recipe's value; --dry-run shows it.

    \b
    Examples:
      avatar-train --data faces.zip --steps 60
      avatar-train --data faces.zip --download --out runs/night
      avatar-train --out runs/night --resume --steps 40000
      avatar-train --data more.zip --init-from runs/night --out runs/more
    """
    if other := click.get_current_context().invoked_subcommand:
        if out or download or resume or restart or dry_run or any(value is not None for value in options.values()):
            raise click.UsageError(f"avatar-train {other} takes its options behind its name")
        return
    if resume and restart:
        raise click.UsageError("--resume goes on with a run and --restart starts over: use one of them")
    if options["steps"] and options["epochs"]:
        raise click.UsageError("--steps and --epochs both say how long to train: use one of them")
    given = {name: value for name, value in options.items() if value is not None}
    os.environ.setdefault("GLOG_v", "3")  # MindSpore's C++ side warns of its own internals
    try:
        if resume:
            out = out or newest_run(RUNS)
            config = _saved_config(out, given)
        else:
            if "data" not in given:
                raise click.UsageError("--data DIR_OR_ZIP says what to learn from: a folder of images or a zip")
            config = TrainConfig.from_recipe(**{"recipe": "edge", **given})
            out = out or RUNS / config.recipe
    except ValueError as err:
        raise click.UsageError(str(err)) from err
    except AvatarError as err:
        raise click.ClickException(str(err)) from err
    if device.is_leader():
        click.echo(json.dumps({"out": str(out), **config.to_dict()}, indent=2))
    if dry_run:
        return
    if download:  # every worker: those of one machine wait for the first, and another machine has a disk of its own
        _download(download, Path(config.data))
    _run(config, out, resume, restart)


main.add_command(grade)
main.add_command(steer)


def _download(url: str, path: Path) -> None:
    try:
        from avatar_training.data.download import download
    except ModuleNotFoundError as err:
        raise click.ClickException(f"avatar-train needs {err.name}: {INSTALL}") from err
    fetching = _Bar("fetching", show_pos=False)

    def on_received(received: int, total: int | None) -> None:
        if total:
            fetching.show(received, total, f"{received / 1e6:.1f} of {total / 1e6:.1f} MB")

    try:
        with fetching:
            files = download(
                url,
                path,
                on_message=lambda message: click.echo(message, err=True),
                on_received=on_received,
            )
    except (AvatarError, OSError) as err:
        raise click.ClickException(str(err)) from err
    click.echo(f"{path}: {files} files, undamaged", err=True)


def _run(config: TrainConfig, out: Path, resume: bool, restart: bool) -> None:
    try:
        from avatar_training.loop import Progress, train
    except ModuleNotFoundError as err:
        raise click.ClickException(f"avatar-train needs {err.name}: {INSTALL}") from err
    reading, training = _Bar("reading"), _Bar("training")

    def on_step(progress: Progress) -> None:
        left = timedelta(seconds=round(progress.seconds_left))
        losses = f"G {progress.g_loss:.3f}, D {progress.d_loss:.3f}"
        training.show(
            progress.step, progress.steps, f"{progress.images_per_second:.1f} images/s, {losses}, {left} left"
        )

    try:
        with _StopRequest() as stop, reading, training:
            result = train(
                config,
                out,
                resume=resume,
                restart=restart,
                on_message=lambda message: click.echo(message, err=True),
                on_decoded=reading.show,
                on_step=on_step,
                should_stop=stop,
            )
    except (AvatarError, OSError) as err:
        raise click.ClickException(str(err)) from err
    if not device.is_leader():
        return
    best = " and best.ckpt" if (out / "best.ckpt").exists() else ""
    click.echo(f"step {result.step}: {out}/generator.ckpt{best}; look at {out}/report.html")
    if not result.finished:
        click.echo(f"stopped; go on with: avatar-train --resume --out {out}")
        sys.exit(128 + (stop.number or signal.SIGTERM))  # 0 where another worker got the signal


class _Bar(ExitStack):
    """A progress bar on a terminal's stderr that opens when there is something to show and closes when full."""

    def __init__(self, label: str, show_pos: bool = True) -> None:
        super().__init__()
        self.label, self.show_pos = label, show_pos
        self.bar: Any = None

    def show(self, done: int, total: int, note: str | None = None) -> None:
        if not sys.stderr.isatty():
            return
        if self.bar is None:
            bar = click.progressbar(
                length=total,
                label=self.label,
                show_pos=self.show_pos,
                show_eta=False,  # click's counts from 0, a resumed run does not
                item_show_func=lambda item: item,
                file=sys.stderr,
            )
            self.bar = self.enter_context(bar)
        self.bar.update(done - self.bar.pos, note)
        if done == total:
            self.close()


class _StopRequest(AbstractContextManager["_StopRequest"]):
    """Catches the first SIGINT or SIGTERM, so that the step can be finished and saved; a second one kills.

    A worker takes the end of msrun for a SIGTERM: msrun does not pass one on.
    """

    def __init__(self) -> None:
        self.number = 0
        self.launcher = os.getppid() if device.under_msrun() else None
        self.old = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def __call__(self) -> bool:
        """Whether to stop. Ask after each step: MindSpore puts its own handlers in place when it compiles a graph."""
        if not self.number:
            for number in self.old:
                signal.signal(number, self._receive)
            if self.launcher not in (None, os.getppid()):
                self.number = signal.SIGTERM
        return bool(self.number)

    def _receive(self, number: int, frame: object) -> None:
        self.number = number
        self._restore()
        click.echo("\nsaving after this step; once more to lose it", err=True)

    def _restore(self) -> None:
        for number, handler in self.old.items():
            signal.signal(number, handler)

    def __exit__(self, *error: object) -> None:
        self._restore()


def _saved_config(out: Path, given: dict[str, Any]) -> TrainConfig:
    """The run's own configuration with the options given on top; `train` refuses those that may not change."""
    run = read_record(out)
    if run is None:
        raise TrainingError(f"{out} holds no run to resume; leave out --resume to start one")
    saved = TrainConfig.from_dict(run["config"])
    if given.pop("recipe", saved.recipe) != saved.recipe:
        raise TrainingError(
            f"{out} was begun with the recipe {saved.recipe}; resume it as it was, or start over with --restart"
        )
    return saved.with_changes(**given)
