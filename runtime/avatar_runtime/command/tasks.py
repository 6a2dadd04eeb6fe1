"""What avatar-gen does with its options, and what it says about it."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from avatar_runtime.command.options import Options
from avatar_runtime.errors import AvatarError, InputError
from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.imaging.arrays import MAX_GRID_SIDE
from avatar_runtime.latents import series
from avatar_runtime.model_file.registry import find_model
from avatar_runtime.output.bulk import Written, draw_file, draw_files, named, numbered, shard
from avatar_runtime.output.picture import check_work

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
                raise InputError(f"--{name} has no use for --{unused[0].removesuffix('s').replace('_', '-')}")
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

    if options.out_dir is not None:
        avatars = numbered(seed, count) if names is None else named(names)
        drawn = _draw_files(options, generator, best_of, avatars, count)
    else:
        drawn = _draw_picture(options, generator, best_of, series(seed, count) if names is None else names, count)

    where = "standard output" if options.to_stdout else click.format_filename(options.out or options.out_dir or "")
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
    for key, value in found.items():
        if value not in ("", None, (), {}):
            click.echo(f"{key.replace('_', ' '):18} {_printable(_as_text(value))}")


def check(options: Options) -> None:
    """Draw the model's golden images and compare them."""
    generator = options.load_generator()
    difference = generator.verify()
    if options.json:
        click.echo(json.dumps({"model": generator.model_sha256, "difference": difference}))
    else:
        how = f"within {difference} levels" if difference else "exactly"
        click.echo(f"{_printable(generator.model_id)} draws its golden images {how} as where it was made")


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

    if best_of is not None:
        judged = _with_progress(picture.names, len(picture.names))
        choice = best_of.choice(best_of.candidates(generator, judged, options.truncation))
        picture = options.picture(picture.names, choice)
    data = picture.render(generator, options.extension, lambda names: _with_progress(names, len(picture.names)))
    text = picture.text(generator)

    if options.out is None or options.to_stdout:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        _say_choices(options, text)
    else:
        _say_written(options, draw_file(options.out, data, text))
    return f"{picture.frames} frames" if picture.frames else _avatars(len(picture.names))


def _draw_files(
    options: Options,
    generator: AvatarGenerator,
    best_of: "BestOf | None",
    avatars: Iterable[tuple[str, str]],
    count: int,
) -> str:
    """Draw one file for each avatar, a pair of file stem and name, and return what was drawn, in words."""
    if options.shard is not None:
        index, shards = options.shard
        avatars = shard(avatars, index, shards)
        count = max(0, (count - index) // shards + 1)
    files = draw_files(
        generator,
        avatars,
        options.out_dir or Path(),
        options.extension,
        truncation=options.truncation,
        portrait=options.portrait(),
        best_of=best_of,
        workers=options.threads,
    )
    drawn = 0
    with closing(files):  # when interrupted, wait for the files that are being written
        for written in _with_progress(files, count):
            _say_written(options, written)
            drawn += 1
    return _avatars(drawn)


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


def _with_progress(items: Iterable[T], count: int) -> Iterator[T]:
    """The items, with a progress bar on standard error if there are many and it is a terminal."""
    if count < PROGRESS_BAR_FROM or not sys.stderr.isatty():
        yield from items
        return
    with click.progressbar(items, length=count, label="drawing", file=sys.stderr) as bar:
        yield from bar


def _avatars(count: int) -> str:
    return f"{count} avatar{'s' if count != 1 else ''}"


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{str(key).replace('_', ' ')} {_as_text(item)}" for key, item in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(_as_text(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _printable(text: str) -> str:
    """The text without what could move a terminal's cursor: a model file may come from anybody."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
