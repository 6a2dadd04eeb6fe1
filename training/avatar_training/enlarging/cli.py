"""avatar-train enlarge: reads the options, calls the library, prints the result."""

import os
from pathlib import Path

import click

from avatar_runtime.command.base import Command
from avatar_runtime.command.progress import ProgressBar

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FROM_1 = click.IntRange(min=1)


@click.command(
    cls=Command,
    extra="prepare",
    short_help="Draw the same faces at twice the size.",
    context_settings={"show_default": True},
)
@click.option("--checkpoint", type=_FOLDER, required=True, metavar="DIR", help="Folder of a run or of a trained pair.")
@click.option("--out", type=_FOLDER, required=True, metavar="DIR", help="New folder for the larger pair.")
@click.option("--steps", type=_FROM_1, default=1500, metavar="N", help="Steps of 16 faces each.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, metavar="N", help="Of the faces.")
def enlarge(checkpoint: Path, out: Path, steps: int, seed: int) -> None:
    """Write a pair of networks that draws the faces of DIR at twice the size, with sharp lines.

    Its last layers learn what Real-ESRGAN makes of the faces. It takes some twenty minutes on two cores.

    \b
    Example:
      avatar-train enlarge --checkpoint training/pretrained/anime-faces-64 --out runs/large
    """
    os.environ.setdefault("GLOG_v", "3")  # MindSpore's C++ code warns about its own internals
    with ProgressBar("learning") as bar:
        from avatar_training.enlarging.enlarge import enlarge as run

        enlarged = run(checkpoint, out, steps, seed, bar.show)
    name = click.format_filename(out)
    click.echo(f"{name}: {enlarged.image_size} pixels, {enlarged.psnr:.1f} dB from what Real-ESRGAN draws")
