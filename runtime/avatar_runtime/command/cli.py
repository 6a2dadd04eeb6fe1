"""avatar-gen: parses its options; `tasks` does the rest."""

import gc
import re
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from avatar_runtime.command.terminal import SETTINGS, Command, version_option


class ShardType(click.ParamType[tuple[int, int]]):
    """I/N: the I-th of N parts."""

    name = "shard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Make "2/4" (2, 4)."""
        found = re.fullmatch("([0-9]{1,9})/([0-9]{1,9})", str(value))
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            self.fail(f"{value!r} is not I/N with I from 1 to N, such as 1/4", param, ctx)
        return int(found[1]), int(found[2])


PATH = click.Path(path_type=Path)


@click.command(cls=Command, context_settings=SETTINGS)
@click.option("--name", "names", multiple=True, metavar="NAME", help="Draw the avatar of this name; repeatable.")
@click.option("--names-file", type=click.File("rb"), metavar="FILE", help="Names, one a line; - is standard input.")
@click.option("--interpolate", nargs=2, metavar="A B", help="From A to B and back: .gif, .webp or .png.")
@click.option("--frames", type=click.IntRange(min=2), default=24, metavar="N", help="Pictures from A to B.")
@click.option("--seed", metavar="S", help="A series, whose avatar i is named S/i.  [default: new]")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="How many of a series.  [default: 64]")
@click.option("--truncation", type=float, default=1.0, metavar="T", help="0 to 2; below 1 nearer to the average face.")
@click.option(
    "--best-of", type=click.IntRange(1, 1000), metavar="K", help="Keep the best of K candidates of each name."
)
@click.option("--critic", type=PATH, metavar="FILE", help="The model that judges the candidates.")
@click.option("--out", type=PATH, metavar="FILE", help="One picture: .png, .webp, .jpg; - is standard output.")
@click.option("--out-dir", type=PATH, metavar="DIR", help="One file for each avatar.")
@click.option(
    "--format", type=click.Choice(["png", "webp", "jpg", "gif"]), help="For --out-dir and --out -.  [default: png]"
)
@click.option("--columns", type=click.IntRange(min=1), metavar="K", help="Columns of the grid.  [default: square]")
@click.option("--size", type=int, metavar="PX", help="Side of an avatar.  [default: as drawn]")
@click.option("--circle", is_flag=True, help="Cut each avatar to a circle.")
@click.option("--background", metavar="COLOUR", help="Behind the circle, such as #fc0.  [default: none]")
@click.option("--shard", type=ShardType(), metavar="I/N", help="Only the I-th of N parts of --out-dir.")
@click.option("--info", is_flag=True, help="Print what the model promises.")
@click.option("--check", is_flag=True, help="Draw the model's golden images and compare.")
@click.option("--reproduce", type=PATH, metavar="FILE", help="Draw a picture again and compare.")
@click.option("--json", is_flag=True, help="Print JSON, one object a line.")
@click.option("--model", type=PATH, metavar="FILE", help="Another model than the embedded one.")
@click.option("--provider", "providers", multiple=True, metavar="NAME", help="onnxruntime provider; repeatable.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads to draw with.")
@click.option("--exact", is_flag=True, help="One avatar at a time in one thread: the same to the last bit.")
@version_option
@click.pass_context
def main(ctx: click.Context, /, **options: Any) -> None:
    """Draw anime avatars: the same name gives the same face, for ever.

    \b
    Examples:
      avatar-gen --count 64 --out grid.png
      avatar-gen --name alice --name bob --out-dir avatars
      avatar-gen --name alice --circle --size 256 --out alice.png
      avatar-gen --names-file team.txt --format webp --out-dir avatars
      avatar-gen --interpolate alice bob --out morph.gif
      avatar-gen --reproduce alice.png
    """
    # Here, for they import numpy and onnxruntime: 110 ms that --help and completion do not need.
    from avatar_runtime.command import tasks
    from avatar_runtime.command.options import Options

    gc.freeze()  # what is imported stays
    gc.enable()
    given = [name for name in options if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT]
    tasks.run(Options(given=frozenset(given), **options))
