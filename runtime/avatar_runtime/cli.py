"""avatar-gen: parses, calls the library, writes files."""

import hashlib
import re
import secrets
import sys
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from avatar_runtime import __version__
from avatar_runtime.errors import AvatarError, InputError, OutputError
from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.latents import series
from avatar_runtime.pixels import check_extension, encode, grid, grid_shape, write_file


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="How many avatars to draw.  [default: 64]")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="One picture of all: .png, .webp or .jpg.")
@click.option("--out-dir", type=click.Path(path_type=Path), metavar="DIR", help="One PNG for each avatar.")
@click.option("--seed", metavar="S", help="The series to draw; avatar i is named S/i.  [default: a new one]")
@click.option("--name", "names", multiple=True, metavar="NAME", help="Draw the avatar of this name; repeatable.")
@click.option("--columns", type=click.IntRange(min=1), metavar="K", help="Columns of the grid.  [default: square]")
@click.option("--scale", type=click.IntRange(min=1), default=1, metavar="K", help="Enlarge each pixel K times.")
@click.option("--truncation", type=float, default=1.0, metavar="T", help="0 to 2; below 1 nearer to the average face.")
@click.option("--model", type=click.Path(path_type=Path), metavar="FILE", help="Another model than the embedded one.")
@click.option("--provider", "providers", multiple=True, metavar="NAME", help="onnxruntime provider; repeatable.")
@click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads to draw with.")
@click.version_option(__version__, prog_name="avatar-gen")
def main(
    count: int | None,
    out: Path | None,
    out_dir: Path | None,
    seed: str | None,
    names: tuple[str, ...],
    columns: int | None,
    scale: int,
    truncation: float,
    model: Path | None,
    providers: tuple[str, ...],
    threads: int | None,
) -> None:
    """Draw anime avatars: the same name gives the same face, for ever.

    \b
    Examples:
      avatar-gen --count 64 --out grid.png
      avatar-gen --name alice --name bob --out-dir avatars
      avatar-gen --count 16 --seed team --truncation 0.8 --scale 2 --out team.png
    """
    if (out is None) == (out_dir is None):
        raise click.UsageError("say where to draw: either --out FILE for one picture or --out-dir DIR for many")
    if names and (count is not None or seed is not None):
        raise click.UsageError("--name draws the names given; --count and --seed draw a series: use one or the other")
    if out_dir is not None and columns is not None:
        raise click.UsageError("--columns arranges a grid; it has no use with --out-dir")
    new_series = not names and seed is None
    if seed is None:
        seed = secrets.token_hex(4)
    chosen = list(names) or list(series(seed, count or 64))
    try:
        if out is not None:
            check_extension(out.suffix)
        generator = AvatarGenerator.load(model, providers=providers or None, threads=threads)
        if out is not None:
            _draw_grid(generator, chosen, out, truncation, columns, scale)
        elif out_dir is not None:
            stems = file_stems(chosen) if names else [f"{i:0{len(str(len(chosen) - 1))}}" for i in range(len(chosen))]
            _draw_files(generator, chosen, stems, out_dir, truncation, scale)
    except InputError as err:
        raise click.UsageError(str(err)) from err
    except AvatarError as err:
        raise click.ClickException(str(err)) from err
    click.echo(f"{len(chosen)} avatar{'s' if len(chosen) > 1 else ''} in {out or out_dir}")
    if new_series:
        click.echo(f"series {seed}: draw it again with --seed {seed}")


def _draw_grid(
    generator: AvatarGenerator,
    names: list[str],
    out: Path,
    truncation: float,
    columns: int | None,
    scale: int,
) -> None:
    grid_shape(len(names), columns, scale, generator.spec.image_size)
    sheet = grid(generator.generate(names, truncation=truncation), columns, scale)
    write_file(out, encode(sheet, out.suffix, _text(generator, names, truncation)))


def _draw_files(
    generator: AvatarGenerator,
    names: list[str],
    stems: list[str],
    out_dir: Path,
    truncation: float,
    scale: int,
) -> None:
    images = chain.from_iterable(generator.stream(names, truncation=truncation))
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"cannot make the folder {out_dir}: {err.strerror or err}") from err
    bar = click.progressbar(
        zip(names, stems, images, strict=True),
        length=len(names),
        label="drawing",
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    )
    with bar as avatars:
        for name, stem, image in avatars:
            data = encode(grid(image[None], scale=scale), ".png", _text(generator, [name], truncation))
            write_file(out_dir / f"{stem}.png", data)


def file_stems(names: list[str]) -> list[str]:
    """A file name without extension for each name, readable where it can be, and different where the names are.

    Characters that some file system forbids are written %XX; what would be too long, hidden, or differs from another
    only by upper and lower case gets a digest of the name.
    """
    stems = [re.sub(_FORBIDDEN, lambda m: quote(m[0], safe="", errors="surrogatepass"), name) for name in names]
    owners: dict[str, str] = {}
    for i, (name, stem) in enumerate(zip(names, stems, strict=True)):
        if (
            not stem
            or len(stem.encode("utf-8", "surrogatepass")) > 100
            or owners.setdefault(stem.lower(), name) != name
        ):
            digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
            stems[i] = f"{stem[:24]}-{digest}"
    return stems


_FORBIDDEN = re.compile(r'^\.|[\x00-\x1f\x7f\ud800-\udfff<>:"/\\|?*%]|[. ]$')


def _text(generator: AvatarGenerator, names: list[str], truncation: float) -> dict[str, Any]:
    return {
        "names": names,
        "truncation": truncation,
        "scheme": generator.spec.latent_scheme,
        "model": generator.model_sha256,
    }
