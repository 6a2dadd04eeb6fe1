"""What avatar-gen does with its options, and what it says about it."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from avatar_runtime.command.info import info_text, printable
from avatar_runtime.command.options import Options
from avatar_runtime.command.progress import ProgressBar
from avatar_runtime.command.screen import Screen
from avatar_runtime.errors import AvatarError, InputError, OutputError
from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.imaging.arrays import MAX_GRID_SIDE
from avatar_runtime.latents import series
from avatar_runtime.model_file.registry import find_model
from avatar_runtime.output.bulk import Written, draw_file, draw_files, named, numbered, shard
from avatar_runtime.output.picture import Picture, check_work

if TYPE_CHECKING:
    from avatar_runtime.ranking import BestOf

T = TypeVar("T")

DEFAULT_COUNT = 64
PROGRESS_BAR_FROM = 100
"""Avatars from which a progress bar is shown."""


def run(options: Options) -> None:
    """Do the one thing that the options ask for. Raises AvatarError."""
    tasks = {"info": info, "check": check, "reproduce": reproduce_file}
    for name, task in tasks.items():
        if getattr(options, name):
            unused = sorted(options.given - {name, "json", "model", "providers", "threads", "exact"})
            if unused:
                other = "a name" if "names" in unused[0] else f"--{unused[0].removesuffix('s').replace('_', '-')}"
                raise InputError(f"--{name} cannot be used with {other}")
            return task(options)
    return draw(options)


def draw(options: Options) -> None:
    """Draw one picture, or one file for each avatar."""
    options.check_drawing()
    generator = options.load_generator()
    best_of = options.load_best_of()
    names = options.all_names()
    seed = os.urandom(4).hex() if options.seed is None else options.seed
    count = options.count or DEFAULT_COUNT if names is None else len(names)

    if options.screen is not None:
        _show(options, options.screen, generator, best_of, names, seed)
    elif options.out_dir is not None:
        avatars = numbered(seed, count) if names is None else named(names)
        written = _draw_files(options, generator, best_of, avatars, count)
        if options.replace:
            _say(options, f"{_avatars(written)} in {click.format_filename(options.out_dir)}")
    else:
        drawn = _draw_picture(options, generator, best_of, series(seed, count) if names is None else names, count)
        where = "standard output" if options.to_stdout else click.format_filename(options.out or "")
        _say(options, f"{drawn} in {where}")
    if names is None and options.seed is None:
        _say(options, f"series {seed}: draw it again with --seed {seed}")


def info(options: Options) -> None:
    """Print the metadata of the model file."""
    generator = options.load_generator()
    golden = generator.spec.golden
    if golden is not None:
        golden.images()  # a file with damaged images is a damaged file
    path = str(find_model(options.model).path)
    found: dict[str, Any] = {"id": generator.model_id, "file": path, "sha256": generator.model_sha256}
    found |= asdict(generator.spec)
    if options.json:
        click.echo(json.dumps(found))
        return
    found["golden"] = golden and f"{len(golden.names)} images, levels tolerated {golden.tolerance}"
    click.echo(info_text(found))


def check(options: Options) -> None:
    """Draw the model's golden images and compare them."""
    generator = options.load_generator()
    difference = generator.verify()
    if options.json:
        click.echo(json.dumps({"model": generator.model_sha256, "difference": difference}))
    else:
        how = f"within {difference} levels" if difference else "exactly"
        click.echo(f"{printable(generator.model_id)} draws its golden images {how} as where it was made")


def reproduce_file(options: Options) -> None:
    """Draw a picture again from the text inside it and compare the two."""
    from avatar_runtime.output.reproduction import reproduce

    path = options.reproduce or Path()
    result = reproduce(path, options.load_generator())
    if options.json:
        answer = {"file": str(path), "identical": result.difference == 0, "difference": result.difference}
        click.echo(json.dumps(answer))
    elif result.difference == 0:
        click.echo(f"{click.format_filename(path)} is identical, drawn again from its text")
    if result.difference:
        raise AvatarError(f"{path} is not what its text says: pixels differ by up to {result.difference} levels of 255")


def _draw_picture(
    options: Options, generator: AvatarGenerator, best_of: "BestOf | None", names: Iterable[str], count: int
) -> str:
    """Draw one picture and return what was drawn, in words."""
    image_size = generator.spec.image_size
    check_work("avatars", count, image_size)
    most = (MAX_GRID_SIDE // options.portrait().side(image_size)) ** 2
    picture = options.picture(islice(names, most + 1))  # one more than fits is enough to be refused
    picture.size(image_size)

    picture = _best(options, generator, best_of, picture)
    data = picture.render(generator, options.extension, _watch(options, picture.frames or len(picture.names)))
    text = picture.text(generator)

    if options.out is None or options.to_stdout:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        _say_choices(options, text)
    else:
        _say_written(options, draw_file(options.out, data, text))
    return f"{picture.frames} frames" if picture.frames else _avatars(len(picture.names))


def _show(
    options: Options,
    screen: Screen,
    generator: AvatarGenerator,
    best_of: "BestOf | None",
    names: list[str] | None,
    seed: str,
) -> None:
    """Show avatars in the terminal, row by row; of a series as many as it has room for."""
    image_size = generator.spec.image_size
    count = options.count if names is None else len(names)
    side = options.size or screen.side(image_size, count)
    if names is None:
        count = count or min(DEFAULT_COUNT, screen.fitting(side))
        check_work("avatars", count, image_size)
        names = list(series(seed, count))
    picture = Picture(
        tuple(names),
        options.truncation,
        replace(options.portrait(), size=side),
        options.columns or max(1, screen.width // side),
    )
    picture.size(image_size)
    picture = _best(options, generator, best_of, picture)
    click.echo(screen.render(picture.draw(generator, _watch(options, len(picture.names)))[0]))
    _say_choices(options, picture.text(generator))


def _best(options: Options, generator: AvatarGenerator, best_of: "BestOf | None", picture: Picture) -> Picture:
    """The picture of the best candidate of each name, if that is asked for."""
    if best_of is None:
        return picture
    judged = _watch(options, len(picture.names))(picture.names)
    return replace(picture, choice=best_of.choice(best_of.candidates(generator, judged, options.truncation)))


def _draw_files(
    options: Options,
    generator: AvatarGenerator,
    best_of: "BestOf | None",
    avatars: Iterable[tuple[str, str]],
    count: int,
) -> int:
    """Draw one file for each avatar, a pair of file stem and name, and return how many."""
    if options.shard is not None:
        index, shards = options.shard
        avatars = shard(avatars, index, shards)
        count = max(0, (count - index) // shards + 1)
    folder = options.out_dir or Path()
    if not options.replace:
        avatars = list(avatars)
        for path in [folder / f"{stem}{options.extension}" for stem, _ in avatars]:
            if path.exists() or path.is_symlink():
                where = click.format_filename(path)
                raise OutputError(f"{where} is already here, and nothing was drawn; to replace it add --out-dir .")
    files = draw_files(
        generator,
        avatars,
        folder,
        options.extension,
        truncation=options.truncation,
        portrait=options.portrait(),
        best_of=best_of,
        workers=options.threads,
    )
    drawn = 0
    with closing(files):  # when interrupted, wait for the files that are being written
        for written in _watch(options, count)(files):
            _say_written(options, written)
            if not options.replace:
                _say(options, click.format_filename(written.path))
            drawn += 1
    return drawn


def _say_written(options: Options, written: Written) -> None:
    if options.json:
        click.echo(json.dumps({"file": str(written.path), "sha256": written.sha256, **written.text}))
    _say_choices(options, written.text)


def _say_choices(options: Options, text: dict[str, Any]) -> None:
    """Say which candidate of each name was kept, if there were several."""
    if "candidates" not in text:
        return
    from avatar_runtime.ranking import candidate_name

    for name, k in zip(text["names"], text["candidates"], strict=True):
        _say(options, f"{name!r}: candidate {k} of {text['best_of']}, the avatar named {candidate_name(name, k)!r}")


def _say(options: Options, message: str) -> None:
    if not options.json:
        click.echo(message, err=options.to_stdout)


def _watch(options: Options, count: int) -> Callable[[Iterable[T]], Iterator[T]]:
    """Passes count items through, with a progress bar if there are many."""
    if count < PROGRESS_BAR_FROM or options.json:
        return iter
    return lambda items: ProgressBar("drawing").watch(items, count)


def _avatars(count: int) -> str:
    return f"{count} avatar{'s' if count != 1 else ''}"
