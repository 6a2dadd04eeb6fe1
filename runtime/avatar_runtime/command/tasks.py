"""What avatar-gen does with its options: one call of the library, and what is said about it."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from avatar_runtime.command.options import Options
from avatar_runtime.errors import AvatarError, InputError
from avatar_runtime.generator import AvatarGenerator, embedded_model
from avatar_runtime.imaging.arrays import MAX_GRID_SIDE
from avatar_runtime.latents import series
from avatar_runtime.output.bulk import Written, draw_file, draw_files, named, numbered, shard

if TYPE_CHECKING:
    from avatar_runtime.ranking import BestOf

T = TypeVar("T")

LONG_WORK = 100
"""So many avatars are worth a progress bar."""


def run(options: Options) -> None:
    """Do the one thing that is asked for. Raises AvatarError."""
    tasks = {"info": info, "check": check, "reproduce": reproduce_file}
    for task, do in tasks.items():
        if getattr(options, task):
            idle = sorted(options.given - {task, "json", "model", "providers", "threads", "exact"})
            if idle:
                raise InputError(f"--{task} has no use for --{idle[0].removesuffix('s').replace('_', '-')}")
            return do(options)
    return draw(options)


def draw(options: Options) -> None:
    """Draw one picture, or one file for each avatar."""
    options.check_drawing()
    generator, best_of = options.generator(), options.chooser()
    names = options.all_names()
    seed = os.urandom(4).hex() if options.seed is None else options.seed
    total = options.count or 64 if names is None else len(names)
    if options.out_dir is not None:
        avatars = numbered(seed, total) if names is None else named(names)
        what = _draw_files(options, generator, best_of, avatars, total)
    else:
        what = _draw_picture(options, generator, best_of, series(seed, total) if names is None else names)
    where = "standard output" if options.to_stdout else click.format_filename(options.out or options.out_dir or "")
    _say(options, f"{what} in {where}")
    if names is None and options.seed is None:
        _say(options, f"series {seed}: draw it again with --seed {seed}")


def _draw_picture(options: Options, generator: AvatarGenerator, best_of: "BestOf | None", names: Iterable[str]) -> str:
    most = (MAX_GRID_SIDE // options.portrait().side(generator.spec.image_size)) ** 2
    picture = options.picture(islice(names, most + 1))  # a longer list cannot be drawn, and need not be made
    picture.size(generator.spec.image_size)
    if best_of is not None:
        judged = _progress(picture.names, len(picture.names))
        choice = best_of.choice(best_of.candidates(generator, judged, options.truncation))
        picture = options.picture(picture.names, choice)
    data = picture.render(generator, options.extension, lambda names: _progress(names, len(picture.names)))
    text = picture.text(generator)
    if options.out is None or options.to_stdout:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        _report_choice(options, text)
    else:
        _report(options, draw_file(options.out, data, text))
    return f"{picture.frames} frames" if picture.frames else _avatars(len(picture.names))


def _draw_files(
    options: Options,
    generator: AvatarGenerator,
    best_of: "BestOf | None",
    avatars: Iterable[tuple[str, str]],
    total: int,
) -> str:
    if options.shard is not None:
        avatars = shard(avatars, *options.shard)
        total = len(range(options.shard[0] - 1, total, options.shard[1]))
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
    count = 0
    for written in _progress(files, total):
        _report(options, written)
        count += 1
    return _avatars(count)


def info(options: Options) -> None:
    """Print what the model file promises."""
    from dataclasses import asdict

    generator = options.generator()
    contract: dict[str, Any] = {"file": str(options.model or embedded_model()), "sha256": generator.model_sha256}
    contract |= asdict(generator.spec)
    if options.json:
        click.echo(json.dumps(contract))
        return
    golden = generator.spec.golden
    contract["golden"] = golden and f"{len(golden.names)} images, levels tolerated {golden.tolerance}"
    for key, value in contract.items():
        if value not in ("", None, (), {}):
            click.echo(f"{key.replace('_', ' '):18} {_words(value)}")


def check(options: Options) -> None:
    """Draw the model's golden images and compare."""
    generator = options.generator()
    difference = generator.verify()
    if options.json:
        click.echo(json.dumps({"model": generator.model_sha256, "difference": difference}))
    else:
        exactly = f"within {difference} level of" if difference else "exactly"
        click.echo(f"{generator.spec.name} draws its golden images {exactly} as where it was made")


def reproduce_file(options: Options) -> None:
    """Draw a picture again from its text and say whether it is the same."""
    from avatar_runtime.output.reproduction import reproduce

    path = options.reproduce or Path()
    found = reproduce(path, options.generator())
    if options.json:
        answer = {"file": str(path), "identical": found.difference == 0, "difference": found.difference}
        click.echo(json.dumps(answer))
    elif found.difference == 0:
        click.echo(f"{click.format_filename(path)} is identical, drawn again from its text")
    if found.difference:
        raise AvatarError(f"{path} is not what its text says: pixels differ by up to {found.difference} levels of 255")


def _report(options: Options, written: Written) -> None:
    if options.json:
        click.echo(json.dumps({"file": str(written.path), "sha256": written.sha256, **written.text}))
    _report_choice(options, written.text)


def _report_choice(options: Options, text: dict[str, Any]) -> None:
    if "candidates" not in text:
        return
    from avatar_runtime.ranking import candidate_name

    for name, k in zip(text["names"], text["candidates"], strict=True):
        _say(options, f"{name!r}: candidate {k} of {text['best_of']}, the avatar named {candidate_name(name, k)!r}")


def _avatars(count: int) -> str:
    return f"{count} avatar{'s' if count != 1 else ''}"


def _say(options: Options, message: str) -> None:
    if not options.json:
        click.echo(message, err=options.to_stdout)


def _progress(items: Iterable[T], length: int) -> Iterator[T]:
    """Items as they come, with a progress bar on standard error if there are many and it is a terminal."""
    if length < LONG_WORK or not sys.stderr.isatty():
        yield from items
        return
    with click.progressbar(items, length=length, label="drawing", file=sys.stderr) as bar:
        yield from bar


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{str(key).replace('_', ' ')} {_words(item)}" for key, item in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(_words(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
