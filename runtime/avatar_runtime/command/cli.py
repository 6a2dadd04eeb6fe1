"""avatar-gen: parses its options; `tasks` does the work."""

import gc
import re
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from avatar_runtime.command.terminal import SETTINGS, Command, version_option


class ShardType(click.ParamType[tuple[int, int]]):
    """I/N: part I of N."""

    name = "shard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Make "2/4" (2, 4)."""
        found = re.fullmatch("([0-9]{1,9})/([0-9]{1,9})", str(value))
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            self.fail(f"{value!r} is not I/N with I from 1 to N, such as 1/4", param, ctx)
        return int(found[1]), int(found[2])


PATH = click.Path(path_type=Path)
MAX_COUNT = 10**9


@click.command(cls=Command, context_settings=SETTINGS)
@click.option("--name", "names", multiple=True, metavar="NAME", help="Draw the avatar of this name; repeatable.")
@click.option("--names-file", type=click.File("rb"), metavar="FILE", help="Names, one per line; - is standard input.")
@click.option("--interpolate", nargs=2, metavar="A B", help="An animation from A to B and back: .gif, .webp or .png.")
@click.option("--frames", type=click.IntRange(min=2), default=24, metavar="N", help="Frames from A to B.")
@click.option("--seed", metavar="S", help="Draw the series S: avatar i is named S/i.  [default: random]")
@click.option("--count", type=click.IntRange(1, MAX_COUNT), metavar="N", help="Avatars in the series.  [default: 64]")
@click.option("--truncation", type=float, default=1.0, metavar="T", help="0 to 2; below 1: closer to the average face.")
@click.option(
    "--best-of", type=click.IntRange(1, 1000), metavar="K", help="For each name, draw K candidates and keep the best."
)
@click.option("--scorer", type=PATH, metavar="FILE", help="The model that scores the candidates.")
@click.option("--out", type=PATH, metavar="FILE", help="Write one picture: .png, .webp or .jpg; - is standard output.")
@click.option("--out-dir", type=PATH, metavar="DIR", help="Write one file per avatar.")
@click.option(
    "--format", type=click.Choice(["png", "webp", "jpg", "gif"]), help="For --out-dir and --out -.  [default: png]"
)
@click.option("--columns", type=click.IntRange(min=1), metavar="K", help="Columns of the grid.  [default: square]")
@click.option("--size", type=int, metavar="PX", help="Height and width of an avatar.  [default: the model's]")
@click.option("--circle", is_flag=True, help="Cut each avatar to a circle.")
@click.option("--background", metavar="COLOUR", help="Colour behind the circle, such as #fc0.  [default: transparent]")
@click.option("--shard", type=ShardType(), metavar="I/N", help="Draw only part I of N of --out-dir.")
@click.option("--info", is_flag=True, help="Print the model's metadata.")
@click.option("--check", is_flag=True, help="Draw the model's golden images and compare them.")
@click.option("--reproduce", type=PATH, metavar="FILE", help="Draw a picture again from its text and compare.")
@click.option("--json", is_flag=True, help="Print JSON, one object per line.")
@click.option("--model", metavar="ID|FILE", help="Use this model, such as anime-faces-64@1, or this file.")
@click.option("--provider", "providers", multiple=True, metavar="NAME", help="onnxruntime provider; repeatable.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads that draw.  [default: one per CPU]")
@click.option("--exact", is_flag=True, help="Draw one avatar at a time in one thread: the same to the last bit.")
@version_option
@click.pass_context
def main(ctx: click.Context, /, **options: Any) -> None:
    """Draw anime avatars: with one model, the same name always gives the same face.

    \b
    Examples:
      avatar-gen --count 64 --out grid.png
      avatar-gen --name alice --name bob --out-dir avatars
      avatar-gen --name alice --circle --size 256 --out alice.png
      avatar-gen --names-file team.txt --format webp --out-dir avatars
      avatar-gen --interpolate alice bob --out morph.gif
      avatar-gen --reproduce alice.png
    """
    # Imported here: numpy and onnxruntime take 110 ms, which --help does not need.
    from avatar_runtime.command import tasks
    from avatar_runtime.command.options import Options

    gc.freeze()  # what is imported stays
    gc.enable()
    given = [name for name in options if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT]
    tasks.run(Options(given=frozenset(given), **options))
