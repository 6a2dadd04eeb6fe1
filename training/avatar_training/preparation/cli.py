"""avatar-train prepare: reads the options, calls the library, prints the result."""

import os
from pathlib import Path
from typing import Any

import click

from avatar_runtime.command.base import Command
from avatar_runtime.command.progress import ProgressBar
from avatar_training.config import IMAGE_SIZES

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(cls=Command, extra="prepare", short_help="Make a training set of one size.")
@click.option("--data", type=click.Path(path_type=Path), required=True, metavar="DIR_OR_ZIP", help="Images of faces.")
@click.option("--out", type=_FILE, required=True, metavar="FILE.zip", help="The zip to write.")
@click.option(
    "--image-size", type=click.Choice(IMAGE_SIZES), default=128, show_default=True, help="Height and width in pixels."
)
@click.option(
    "--network",
    type=_FILE,
    metavar="FILE.onnx",
    help="An image classifier, to find pictures without a face and near duplicates.",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Only the first N by name.  [default: all]")
@click.option(
    "--frontal",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    metavar="SHARE",
    help="Keep only this share, of faces that look straight ahead, which are easier to learn.  [default: 1]",
)
@click.option("--keep-all", is_flag=True, help="Only list what should be left out.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="For enlarging.")
def prepare(**settings: Any) -> None:
    """Make a training set of one size: enlarge small images by waifu2x, leave out bad ones, write a zip.

    Flat and blurred pictures are left out, and with --network pictures without a face and near duplicates. FILE.report
    gets their names and a sheet for each reason: look at it. You can stop at any time; the same command goes on.

    \b
    Examples:
      avatar-train prepare --data faces.zip --out faces-128.zip
      avatar-train prepare --data faces.zip --out faces-128.zip --network classifier.onnx
      avatar-train prepare --data faces.zip --out frontal.zip --image-size 64 --frontal 0.4
    """
    os.environ.setdefault("GLOG_v", "3")  # MindSpore's C++ code warns about its own internals
    enlarging, looking = ProgressBar("enlarging"), ProgressBar("looking through")
    from avatar_training.preparation.prepare import PrepareConfig
    from avatar_training.preparation.prepare import prepare as run

    with enlarging, looking:
        config = PrepareConfig(**settings)
        prepared = run(config, enlarging.show, looking.show)
    for reason, names in sorted(prepared.left_out.items(), key=lambda item: -len(item[1])):
        click.echo(f"found {len(names)}: {reason}", err=True)
    click.echo(f"{config.out}: {prepared.images} images; look at {prepared.report}")
