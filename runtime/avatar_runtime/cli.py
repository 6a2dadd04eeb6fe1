"""avatar-gen: parses, calls the library, writes files."""

import hashlib
import re
import secrets
import sys
import unicodedata
from itertools import chain
from pathlib import Path
from typing import Any

import click

from avatar_runtime.errors import AvatarError, InputError
from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.latents import series
from avatar_runtime.pixels import check_extension, encode, grid, grid_shape, make_folder, write_file


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
@click.version_option(package_name="avatar-edge")
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
    total = len(names) or count or 64
    try:
        if out is not None:
            check_extension(out.suffix)
        generator = AvatarGenerator.load(model, providers=providers or None, threads=threads)
        grid_shape(1 if out is None else total, columns, scale, generator.spec.image_size)  # before a huge list
        chosen = list(names or series(seed, total))
        if out is not None:
            _draw_grid(generator, chosen, out, truncation, columns, scale)
        elif out_dir is not None:
            stems = file_stems(chosen) if names else [f"{i:0{len(str(total - 1))}}" for i in range(total)]
            _draw_files(generator, chosen, stems, out_dir, truncation, scale)
    except InputError as err:
        raise click.UsageError(str(err)) from err
    except AvatarError as err:
        raise click.ClickException(str(err)) from err
    click.echo(f"{total} avatar{'s' if total > 1 else ''} in {click.format_filename(out or out_dir or '')}")
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
    make_folder(out_dir)
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

    Characters that some file system forbids, and a leading dot, which hides a file, are written %XX. What would be
    empty, too long, a device of Windows, or different only by upper and lower case gets a digest of the name.
    """
    stems = [re.sub(_FORBIDDEN, _percent, name) for name in names]
    owners: dict[str, str] = {}
    for i, (name, stem) in enumerate(zip(names, stems, strict=True)):
        if (
            _NEEDS_DIGEST.search(stem)
            or len(stem.encode()) > 100
            or owners.setdefault(unicodedata.normalize("NFC", stem).casefold(), name) != name
        ):
            digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
            stems[i] = f"{stem[:24]}-{digest}" if stem else digest
    return stems


_FORBIDDEN = re.compile(r'^\.|[\x00-\x1f\x7f\ud800-\udfff<>:"/\\|?*%]|[. ]$')
_NEEDS_DIGEST = re.compile(r"^$|^(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\.|$)|(^|-)[0-9a-f]{16}$", re.IGNORECASE)


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def _text(generator: AvatarGenerator, names: list[str], truncation: float) -> dict[str, Any]:
    return {
        "names": names,
        "truncation": truncation,
        "scheme": generator.spec.latent_scheme,
        "model": generator.model_sha256,
    }
