"""avatar-train classifier: reads the options, calls the library, prints the result."""

from pathlib import Path

import click

from avatar_runtime.command.base import Command
from avatar_runtime.command.progress import ProgressBar, say


@click.command(
    cls=Command,
    extra="train",
    short_help="Fetch an image classifier as an ONNX file.",
    context_settings={"show_default": True},
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE.onnx", help="File to write."
)
@click.option(
    "--variant",
    type=click.Choice(["small", "mid"]),
    default="small",
    help="mid is 1.4 times as wide, and was trained separately: a second judge.",
)
def classifier(out: Path, variant: str) -> None:
    """Fetch the image classifier that the other commands use, and write it as an ONNX file.

    It is a MobileNetV2 that was trained on drawings and photographs, from the npm package nsfwjs (25 MB, MIT License,
    Copyright (c) 2019 Infinite Red, Inc.), for --network, --critic-network, --feature-heads and --kid-network. The
    package comes from the npm registry, or from a mirror: AVATAR_EDGE_MODEL_URL/nsfwjs-4.4.0.tgz.

    \b
    Example:
      avatar-train classifier --out classifier.onnx
    """
    from avatar_training.classifier.classifier import make_classifier

    with ProgressBar("fetching", show_pos=False) as bar:
        sha256 = make_classifier(out, variant, on_message=say, on_received=bar.show_bytes)
    click.echo(f"{click.format_filename(out)}: SHA-256 {sha256}")
