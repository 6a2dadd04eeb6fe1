"""What avatar-gen does with its options: one call of the library, and what is said about it."""

import json
import secrets
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click

from avatar_runtime.errors import AvatarError, InputError
from avatar_runtime.files import Written, draw_file, draw_files, named, numbered, read_names, shard
from avatar_runtime.generator import AvatarGenerator, embedded_model
from avatar_runtime.latents import series
from avatar_runtime.picture import Picture, check_format
from avatar_runtime.pixels import MAX_GRID_SIDE
from avatar_runtime.portrait import Portrait
from avatar_runtime.reproduction import reproduce

T = TypeVar("T")

LONG_WORK = 100
"""So many avatars are worth a progress bar."""


@dataclass(frozen=True)
class Options:
    """The options of avatar-gen, as click has read them."""

    given: frozenset[str]
    """Which of those below were given, and are not at their defaults."""
    names: tuple[str, ...]
    names_file: BinaryIO | None
    seed: str | None
    count: int | None
    truncation: float
    out: Path | None
    out_dir: Path | None
    format: str | None
    columns: int | None
    size: int | None
    circle: bool
    background: str | None
    shard: tuple[int, int] | None
    info: bool
    check: bool
    reproduce: Path | None
    json: bool
    model: Path | None
    providers: tuple[str, ...]
    threads: int | None

    @property
    def to_stdout(self) -> bool:
        """Whether the picture itself goes to standard output."""
        return self.out == Path("-")

    def portrait(self) -> Portrait:
        """How an avatar is to be shown."""
        return Portrait(self.size, self.circle, self.background)

    def generator(self) -> AvatarGenerator:
        """The model that draws; for single files with one thread in each of `draw_files`' workers."""
        threads = self.threads if self.out_dir is None else 1
        return AvatarGenerator.load(self.model, providers=self.providers or None, threads=threads)

    def check_drawing(self) -> None:
        """Raise InputError for options that contradict each other."""
        given = {
            "--name": bool(self.names),
            "--names-file": self.names_file is not None,
            "--seed and --count": self.seed is not None or self.count is not None,
        }
        sources = [source for source, is_given in given.items() if is_given]
        if len(sources) > 1:
            raise InputError(f"{sources[0]} and {sources[1]} both say what to draw: use one or the other")
        if (self.out is None) == (self.out_dir is None):
            raise InputError("say where to draw: either --out FILE for one picture or --out-dir DIR for many")
        if self.out_dir is not None and self.columns is not None:
            raise InputError("--columns arranges a grid; it has no use with --out-dir")
        if self.format is not None and self.out is not None and not self.to_stdout:
            raise InputError("--format is for --out-dir and --out -; the name of --out FILE says its format")
        if self.shard is not None and (self.out_dir is None or not (self.seed or self.names or self.names_file)):
            raise InputError("--shard shares out single files: it needs --out-dir, and --seed or names")
        if self.to_stdout and self.json:
            raise InputError("--out - and --json both want standard output: use one or the other")
        if self.to_stdout and sys.stdout.isatty():
            raise InputError("standard output is a terminal, which shows no picture: send it to a file or a program")


def run(options: Options) -> None:
    """Do the one thing that is asked for. Raises AvatarError."""
    tasks = {"info": info, "check": check, "reproduce": reproduce_file}
    for task, do in tasks.items():
        if getattr(options, task):
            idle = sorted(options.given - {task, "json", "model", "providers", "threads"})
            if idle:
                raise InputError(f"--{task} has no use for --{idle[0].removesuffix('s').replace('_', '-')}")
            return do(options)
    return draw(options)


def draw(options: Options) -> None:
    """Draw one picture, or one file for each avatar."""
    options.check_drawing()
    portrait = options.portrait()
    extension = options.out.suffix if options.out and not options.to_stdout else f".{options.format or 'png'}"
    check_format(extension, portrait)
    generator = options.generator()
    names = _names(options)
    new_series = None
    if names is None and options.seed is None:
        new_series = secrets.token_hex(4)
    seed = options.seed if options.seed is not None else new_series or ""
    total = len(names) if names is not None else options.count or 64
    if options.out_dir is not None:
        avatars = named(names) if names is not None else numbered(seed, total)
        total = _draw_files(options, generator, avatars, extension, total)
    else:
        cells = (MAX_GRID_SIDE // portrait.side(generator.spec.image_size)) ** 2 + 1  # no longer list can be drawn
        chosen = names if names is not None else series(seed, total)
        picture = Picture(tuple(islice(chosen, cells)), options.truncation, portrait, options.columns)
        _draw_picture(options, generator, picture, extension)
    where = "standard output" if options.to_stdout else click.format_filename(options.out or options.out_dir or "")
    _say(options, f"{total} avatar{'s' if total != 1 else ''} in {where}")
    if new_series is not None:
        _say(options, f"series {new_series}: draw it again with --seed {new_series}")


def _names(options: Options) -> list[str] | None:
    if options.names_file is None:
        return list(options.names) or None
    names = list(read_names(options.names_file, options.names_file.name))
    if not names:
        raise InputError(f"{options.names_file.name} holds no name")
    return names


def _draw_picture(options: Options, generator: AvatarGenerator, picture: Picture, extension: str) -> None:
    data = picture.render(generator, extension, lambda names: _progress(names, len(picture.names)))
    if options.to_stdout:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    elif options.out is not None:
        _report(options, draw_file(options.out, data, picture.text(generator)))


def _draw_files(
    options: Options, generator: AvatarGenerator, avatars: Iterable[tuple[str, str]], extension: str, total: int
) -> int:
    if options.shard is not None:
        avatars = shard(avatars, *options.shard)
        total = len(range(options.shard[0] - 1, total, options.shard[1]))
    files = draw_files(
        generator,
        avatars,
        options.out_dir or Path(),
        extension,
        truncation=options.truncation,
        portrait=options.portrait(),
        workers=options.threads,
    )
    count = 0
    for written in _progress(files, total):
        _report(options, written)
        count += 1
    return count


def info(options: Options) -> None:
    """Print what the model file promises."""
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


def _say(options: Options, message: str) -> None:
    if not options.json:
        click.echo(message, err=options.to_stdout)


def _progress(items: Iterable[T], length: int) -> Iterator[T]:
    """Items as they come, with a progress bar on standard error if there are many and it is a terminal."""
    hidden = length < LONG_WORK or not sys.stderr.isatty()
    with click.progressbar(items, length=length, label="drawing", file=sys.stderr, hidden=hidden) as bar:
        yield from bar


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{str(key).replace('_', ' ')} {_words(item)}" for key, item in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(_words(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
