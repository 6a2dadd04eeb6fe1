"""avatar-gen: parses its options; `tasks` does the work."""

import gc
import re
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from avatar_runtime.command.base import SETTINGS, Command, group, version_option
from avatar_runtime.command.models import ModelType, models
from avatar_runtime.errors import InputError


class ShardType(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
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


class _AvatarGen(Command):
    """Draws, unless its first word is the name of the command `models`."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> click.Context:
        """The context of `models`, or of drawing."""
        if args[:1] == ["models"]:
            return models.make_context(f"{info_name} models", args[1:], *rest, **extra)
        return super().make_context(info_name, args, *rest, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the one or the other."""
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


_what = group("What to draw")
_where = group("Where")
_look = group("How it looks", configurable=True)
_model = group("Model and machine", configurable=True)
_instead = group("Instead of drawing")


@click.command(cls=_AvatarGen, table="gen", context_settings=SETTINGS)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_what("--name", "more_names", multiple=True, metavar="NAME", help="The same as NAME, for any text; repeatable.")
@_what("--names-file", type=click.File("rb"), metavar="FILE", help="Names, one per line; - is standard input.")
@_what("--seed", metavar="S", help="Draw the series S: avatar i is named S/i.  [default: random]")
@_what("--count", type=click.IntRange(1, MAX_COUNT), metavar="N", help="Avatars in the series.  [default: 64]")
@_what("--interpolate", nargs=2, metavar="A B", help="An animation from A to B and back: .gif, .webp or .png.")
@_where("--show", is_flag=True, help="Show the avatars in this terminal.")
@_where("--out", type=PATH, metavar="FILE", help="Write one picture: .png, .webp, .avif or .jpg; - is standard output.")
@_where("--out-dir", type=PATH, metavar="DIR", help="Write one file per avatar.")
@_where("--shard", type=ShardType(), metavar="I/N", help="Draw only part I of N of --out-dir.")
@_look("--size", type=int, metavar="PX", help="Height and width of an avatar.  [default: the model's]")
@_look("--circle", is_flag=True, help="Cut each avatar to a circle.")
@_look("--background", metavar="COLOUR", help="Colour behind the circle, such as #fc0.  [default: transparent]")
@_look("--truncation", type=float, default=1.0, metavar="T", help="0 to 2; from 0.6 to 1: calmer faces.")
@_look("--columns", type=click.IntRange(min=1), metavar="K", help="Columns of the grid.  [default: square]")
@_look("--frames", type=click.IntRange(min=2), default=24, metavar="N", help="Frames of --interpolate from A to B.")
@_look(
    "--format",
    type=click.Choice(["png", "webp", "avif", "jpg", "gif"]),
    help="Of single files, and of --out -; gif for --interpolate.  [default: png]",
)
@_look("--best-of", type=click.IntRange(1, 1000), metavar="K", help="Draw K candidates for each name; keep the best.")
@_look("--scorer", type=PATH, metavar="FILE", help="The model that scores the candidates.")
@_model("--model", type=ModelType(), metavar="ID|FILE", help="Use this model, such as anime-faces-128@1, or this file.")
@_model("--provider", "providers", multiple=True, metavar="NAME", help="onnxruntime provider; repeatable.")
@_model("--threads", type=click.IntRange(min=1), metavar="N", help="Threads that draw.  [default: one per CPU]")
@_model("--exact", is_flag=True, help="Draw one avatar at a time in one thread: the same to the last bit.")
@_instead("--info", is_flag=True, help="Print the model's metadata.")
@_instead("--check", is_flag=True, help="Draw the model's golden images and compare them.")
@_instead("--reproduce", type=PATH, metavar="FILE", help="Draw a picture again from its text and compare.")
@click.option("--json", is_flag=True, help="Print JSON, one object per line.")
@version_option
@click.pass_context
def main(ctx: click.Context, /, **options: Any) -> None:
    """Draw anime avatars: with one model, the same name always gives the same face.

    Without --out, --out-dir or --show each NAME becomes NAME.png in this folder; no file there is replaced.

    \b
    Examples:
      avatar-gen alice bob carol
      avatar-gen --show
      avatar-gen --count 64 --out grid.png
      avatar-gen dave --circle --size 256 --format webp
      avatar-gen --names-file team.txt --out-dir avatars
      avatar-gen --interpolate alice bob --out morph.gif
      avatar-gen --reproduce alice.png
      avatar-gen models
    """
    # Imported here: numpy and onnxruntime take 110 ms, which --help does not need.
    from avatar_runtime.command import tasks
    from avatar_runtime.command.options import Options

    gc.freeze()  # what is imported stays
    gc.enable()
    source = ctx.get_parameter_source
    given = [  # click 8.2 says of names that are not there that the command line gave them
        name for name, value in options.items() if value != () and source(name) is ParameterSource.COMMANDLINE
    ]
    if options["names"][:1] == ("models",):
        raise InputError("'models' is the name of a command; for the avatar of that name: --name models")
    options["names"] += options.pop("more_names")
    tasks.run(Options(given=frozenset(given), **options))
