"""avatar-train: parses, calls `loop.train`, shows progress."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from avatar_runtime import __version__
from avatar_runtime.errors import AvatarError
from avatar_training.config import (
    IMAGE_SIZES,
    LOSSES,
    RECIPES,
    RUNS,
    TrainConfig,
    TrainingError,
    newest_run,
    read_run,
)

INSTALL = 'pip install "avatar-edge[train]", on Python 3.10 to 3.12, for which MindSpore has wheels'


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", metavar="DIR_OR_ZIP", help="Images to learn from; with --resume, the run's own by default.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Run folder.  [default: runs/RECIPE; with --resume the newest run]",
)
@click.option(
    "--recipe",
    type=click.Choice(list(RECIPES)),
    default="edge",
    show_default=True,
    help="edge: hours of CPU. long: days on an accelerator. tutorial: MindSpore's own.",
)
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="Steps in all.  [default: the recipe's]")
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help="Passes over the data, instead of --steps.")
@click.option("--batch-size", type=click.IntRange(min=2), metavar="N", help="Images a step.")
@click.option("--image-size", type=click.Choice([str(s) for s in IMAGE_SIZES]), help="Pixels a side.  [default: 64]")
@click.option("--channels", type=click.Choice(["1", "3"]), help="Grey or RGB.  [default: 3]")
@click.option("--latent-dim", type=click.IntRange(min=1), metavar="N", help="Length of a latent.  [default: 100]")
@click.option("--ngf", type=click.IntRange(min=1), metavar="N", help="Width of the generator.  [default: 64]")
@click.option("--ndf", type=click.IntRange(min=1), metavar="N", help="Width of the discriminator.")
@click.option("--loss", type=click.Choice(LOSSES), help="Adversarial loss.")
@click.option("--real-label", type=click.FloatRange(0, 1), metavar="P", help="What real images are labelled.")
@click.option("--learning-rate", type=float, metavar="R", help="Adam's, for both networks.")
@click.option("--beta1", type=float, metavar="B", help="Adam's first decay.")
@click.option("--beta2", type=float, metavar="B", help="Adam's second decay.")
@click.option("--flip/--no-flip", default=None, help="Mirror half of the images.")
@click.option("--spectral-norm/--no-spectral-norm", default=None, help="In place of the discriminator's batch norm.")
@click.option("--diff-augment/--no-diff-augment", default=None, help="Augment real and generated images alike.")
@click.option("--ema-decay", type=float, metavar="D", help="Moving average of the generator; 0 for none.")
@click.option("--tick", type=click.IntRange(min=1), metavar="N", help="Steps between snapshots.  [default: 200]")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Decides every random number.  [default: 0]")
@click.option("--device-target", type=click.Choice(["auto", "CPU", "GPU", "Ascend"]), help="[default: auto]")
@click.option("--resume", is_flag=True, help="Go on from the newest snapshot.")
@click.option("--new", is_flag=True, help="Start over; a run already in --out is set aside, not deleted.")
@click.option("--dry-run", is_flag=True, help="Show the resolved configuration and stop.")
@click.version_option(__version__, prog_name="avatar-train")
def main(out: Path | None, resume: bool, new: bool, dry_run: bool, **options: Any) -> None:
    """Train a DCGAN on faces, in steps that survive anything.

    Options without a default take the recipe's value; --dry-run shows it.

    \b
    Examples:
      avatar-train --data faces.zip --steps 60
      avatar-train --data faces.zip --out runs/night --recipe edge
      avatar-train --out runs/night --resume --steps 40000
    """
    if resume and new:
        raise click.UsageError("--resume goes on with a run and --new starts over: use one of them")
    if options["steps"] and options["epochs"]:
        raise click.UsageError("--steps and --epochs both say how long to train: use one of them")
    given = {name: value for name, value in options.items() if value is not None}
    for name in ("image_size", "channels"):
        if name in given:
            given[name] = int(given[name])
    recipe_given = _was_given("recipe")
    os.environ.setdefault("GLOG_v", "3")  # MindSpore's C++ side warns of its own internals
    try:
        if resume:
            out = out or newest_run(RUNS)
            config = _saved_config(out, given, recipe_given)
        else:
            if "data" not in given:
                raise click.UsageError("--data DIR_OR_ZIP says what to learn from: a folder of images or a zip")
            config = TrainConfig.from_recipe(**given)
            out = out or RUNS / config.recipe
    except ValueError as err:
        raise click.UsageError(str(err)) from err
    except AvatarError as err:
        raise click.ClickException(str(err)) from err
    click.echo(json.dumps({"out": str(out), **config.to_dict()}, indent=2))
    if dry_run:
        return
    _run(config, out, resume, new)


def _run(config: TrainConfig, out: Path, resume: bool, new: bool) -> None:
    try:
        from avatar_training.loop import Progress, train
    except ModuleNotFoundError as err:
        raise click.ClickException(f"avatar-train needs {err.name}: {INSTALL}") from err
    if new:
        _set_aside(out)
    bar: Any = click.progressbar(length=1, label="training", file=sys.stderr, item_show_func=_describe, show_pos=True)

    def on_step(progress: Progress) -> None:
        if bar.length != progress.steps:
            bar.length, bar.pos = progress.steps, progress.step - 1
        bar.update(1, progress)

    try:
        with _stoppable() as signals, bar:
            result = train(
                config,
                out,
                resume=resume,
                on_message=lambda message: click.echo(message, err=True),
                on_step=on_step,
                should_stop=lambda: bool(signals),
            )
    except AvatarError as err:
        raise click.ClickException(str(err)) from err
    click.echo(f"step {result.step}: {out}/generator.ckpt, discriminator.ckpt, preview.png, losses.png")
    if not result.finished:
        click.echo(f"stopped; go on with: avatar-train --resume --out {out}")
        sys.exit(128 + signals[0])


def _describe(progress: Any) -> str | None:
    if progress is None:
        return None
    return f"{progress.images_per_second:.1f} images/s, G {progress.g_loss:.3f}, D {progress.d_loss:.3f}"


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """A list that receives the first SIGINT or SIGTERM; a second one kills."""
    received: list[int] = []

    def handle(number: int, frame: object) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)
        click.echo("\nstopping after this step; press again to lose it", err=True)

    old = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _was_given(option: str) -> bool:
    source = click.get_current_context().get_parameter_source(option)
    return source is not click.core.ParameterSource.DEFAULT


def _saved_config(out: Path, given: dict[str, Any], recipe_given: bool) -> TrainConfig:
    """The run's own configuration with the options given on top; `train` refuses those that may not change."""
    run = read_run(out)
    if run is None:
        raise TrainingError(f"{out} holds no run to resume; leave out --resume to start one")
    saved = TrainConfig.from_dict(run["config"])
    if recipe_given and given["recipe"] != saved.recipe:
        raise TrainingError(
            f"{out} was begun with the recipe {saved.recipe}; resume it as it was, or start over with --new"
        )
    return saved.with_changes(**{name: value for name, value in given.items() if name != "recipe"})


def _set_aside(out: Path) -> None:
    if not out.exists():
        return
    number = 1
    while (old := out.with_name(f"{out.name}.{number}")).exists():
        number += 1
    out.rename(old)
    click.echo(f"the run that was in {out} is now in {old}", err=True)
