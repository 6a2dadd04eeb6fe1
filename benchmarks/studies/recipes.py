"""Which way of training gives the best faces in the same time? `python -m benchmarks.studies.recipes FOLDER …`

Each recipe trains for as long on this machine, one after another, from the same pair of networks, and its averaged
generator is exported to FOLDER/NAME.onnx. What they draw is then judged by `benchmarks.studies.quality`, blind and by
metrics.
"""

import shlex
import signal
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import click

from avatar_runtime.command.base import SETTINGS, Command
from avatar_runtime.errors import AvatarError, InputError
from benchmarks.suite.tables import Table

LONGEST = 10**9
"""The most steps that avatar-train takes, so that only the time ends a run."""


@dataclass(frozen=True)
class Recipe:
    """A name, and what `avatar-train` is told."""

    name: str
    options: tuple[str, ...]


@click.command(cls=Command, extra="bench", context_settings=SETTINGS)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True, help="Images to train on.")
@click.option(
    "--init-from", type=click.Path(exists=True, path_type=Path), required=True, help="The pair they start from."
)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=30.0, help="For each, start included.")
@click.option(
    "--recipe", "recipes", multiple=True, required=True, metavar='"NAME OPTIONS"', help="Options of avatar-train."
)
def main(folder: Path, data: Path, init_from: Path, minutes: float, recipes: tuple[str, ...]) -> None:
    """Train each recipe for MINUTES in FOLDER, and write NAME.onnx of each.

    A recipe whose NAME.onnx is there is done; one that was interrupted starts again.

    \b
    Example:
      python -m benchmarks.studies.recipes study --data faces.zip --init-from training/pretrained/anime-faces-64 \\
        --recipe edge --recipe "clean --data clean.zip" --recipe "heads --feature-heads classifier.onnx"
    """
    rows = []
    for recipe in parse(recipes):
        model = folder / f"{recipe.name}.onnx"
        if not model.exists():
            click.echo(f"{recipe.name}: {minutes:g} minutes", err=True)
            train(recipe, folder / recipe.name, data, init_from, 60 * minutes)
            run("avatar-export", "--checkpoint", folder / recipe.name, "--out", model)
        rows.append([recipe.name, f"{steps_of(folder / recipe.name):,}", shlex.join(recipe.options)])
    click.echo(Table(f"Trained for {minutes:g} minutes each", ["recipe", "steps", "options"], rows).markdown())


def parse(recipes: tuple[str, ...]) -> list[Recipe]:
    """Recipes from text: a name, and options as a shell splits them. Raises InputError."""
    parsed = []
    for text in recipes:
        try:
            name, *options = shlex.split(text)
        except ValueError:
            raise InputError(f'--recipe "{text}" must be a name, and options as in a shell') from None
        if Path(name).name != name or name.startswith(("-", ".")):
            raise InputError(f'--recipe "{text}" must begin with a name, which becomes a folder')
        parsed.append(Recipe(name, tuple(options)))
    if len({recipe.name for recipe in parsed}) < len(parsed):
        raise InputError("two recipes have the same name")
    return parsed


def train(recipe: Recipe, out: Path, data: Path, init_from: Path, seconds: float) -> None:
    """Run avatar-train for so long, and stop it as Ctrl-C does. Raises AvatarError if it ends by itself."""
    again = ("--restart",) if out.exists() else ()
    common = ("--data", data, "--init-from", init_from, "--steps", LONGEST, "--out", out, *again)
    with subprocess.Popen(command("avatar-train", *common, *recipe.options), stdout=subprocess.DEVNULL) as training:
        try:
            training.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        finally:
            training.send_signal(signal.SIGINT)
            training.wait()
    raise AvatarError(f"the recipe {recipe.name} ended before its time, with exit status {training.returncode}")


def run(name: str, *arguments: object) -> None:
    """Run one of the package's commands. Raises AvatarError if it fails."""
    if code := subprocess.run(command(name, *arguments), stdout=subprocess.DEVNULL).returncode:
        raise AvatarError(f"{name} ended with exit status {code}")


def command(name: str, *arguments: object) -> list[str]:
    """The command line of one of the package's commands."""
    return [str(Path(sysconfig.get_path("scripts")) / name), *map(str, arguments)]


def steps_of(folder: Path) -> int:
    """How many steps a run has done."""
    from avatar_training.run_folder.checkpoint import read

    return int(read(folder / "generator.ckpt")["steps"])


if __name__ == "__main__":
    main()
