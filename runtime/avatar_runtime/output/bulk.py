"""Read names from files and draw one file per avatar."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Generator, Iterable, Iterator
from itertools import chain, count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar

from avatar_runtime.cpus import check_can_start, check_threads, cpu_limit
from avatar_runtime.errors import InputError
from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.imaging.arrays import UInt8
from avatar_runtime.imaging.encoding import encode
from avatar_runtime.imaging.portrait import Portrait
from avatar_runtime.latents import series
from avatar_runtime.output.atomic import make_folder, write_file
from avatar_runtime.output.picture import PLAIN, Picture

if TYPE_CHECKING:
    from avatar_runtime.ranking import BestOf, Choice

MAX_NAME_BYTES = 2**20
"""The longest line that is read as a name. A file without line ends holds no names."""

CHUNK_SIZE = 32
"""Avatars that a worker draws at a time. Larger chunks are no faster and take more memory."""

T = TypeVar("T")


class Written(NamedTuple):
    """A file that was written."""

    path: Path
    sha256: str
    """Of its bytes."""
    text: dict[str, Any]
    """The text inside it: see `Picture.text`."""


def draw_file(path: Path, data: bytes, text: dict[str, Any]) -> Written:
    """Write the bytes of a picture whole or not at all. Raises OutputError."""
    write_file(path, data)
    return Written(path, hashlib.sha256(data).hexdigest(), text)


def draw_files(
    generator: AvatarGenerator,
    avatars: Iterable[tuple[str, str]],
    folder: Path,
    extension: str = ".png",
    *,
    truncation: float = 1.0,
    portrait: Portrait = PLAIN,
    best_of: "BestOf | None" = None,
    workers: int | None = None,
) -> Generator[Written, None, None]:
    """Draw one file per avatar, lazily and in order, so that any number fits in memory.

    Args:
        generator: One that was loaded with threads=1 is the fastest here.
        avatars: Pairs of a file's stem and an avatar's name; may be endless.
        folder: Where the files go. It is made when the first file is drawn.
        extension: One that `encoding.encode` knows.
        truncation: As in `AvatarGenerator.generate`.
        portrait: How each avatar is shown.
        best_of: Chooses among several candidates of each name.
        workers: Threads that draw, encode and write, by default one per CPU of this process.

    Yields:
        Each file, once it is written.

    Raises:
        InputError: An argument cannot be used.
        OutputError: The folder or a file cannot be written.
    """
    from avatar_runtime.output.parallel import in_order  # 6 ms that one picture does not need

    Picture(("",), truncation, portrait).check_format(extension)
    check_threads(workers)
    workers = workers or cpu_limit()
    check_can_start(workers if workers > 1 else 0)
    if best_of is not None:
        best_of.check(generator.spec)
    make_folder(folder)

    def draw(chunk: list[tuple[str, str]]) -> list[Written]:
        choices: Iterable[Choice | None] = [None] * len(chunk)
        if best_of is not None:
            candidates = best_of.candidates(generator, [name for _, name in chunk], truncation)
            choices = (best_of.choice([k]) for k in candidates)
        pictures = [
            Picture((name,), truncation, portrait, choice=choice)
            for (_, name), choice in zip(chunk, choices, strict=True)
        ]
        images = generator.generate([picture.drawn[0] for picture in pictures], truncation=truncation)
        return [write(stem, *drawn) for (stem, _), *drawn in zip(chunk, pictures, images, strict=True)]

    def write(stem: str, picture: Picture, image: UInt8) -> Written:
        text = picture.text(generator)
        data = encode(portrait.show(image[None])[0], extension, text)  # one by one: the largest takes 64 MB
        name = os.fsdecode(f"{stem}{extension}".encode())  # the same bytes on the disk in any locale
        return draw_file(folder / name, data, text)

    avatars = iter(avatars)
    chunks = iter(lambda: list(islice(avatars, CHUNK_SIZE)), [])
    yield from chain.from_iterable(in_order(draw, chunks, workers))


def numbered(seed: str | int, count: int) -> Iterator[tuple[str, str]]:
    """The file stem and name of each avatar of a series. Stems are numbers of one width, so that they sort."""
    width = len(str(count - 1))
    return ((f"{i:0{width}}", name) for i, name in enumerate(series(seed, count)))


def named(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The file stem and name of each avatar. A name that comes twice is drawn once."""
    different = list(dict.fromkeys(names))
    return zip(file_stems(different), different, strict=True)


def shard(items: Iterable[T], index: int, count: int) -> Iterator[T]:
    """Part index of count of the items, from 1: every count-th item. Raises InputError."""
    if not 1 <= index <= count:
        raise InputError(f"a shard is one of 1/{count} to {count}/{count}, not {index}/{count}")
    return islice(items, index - 1, None, count)


def read_names(file: BinaryIO, label: str) -> Iterator[str]:
    """Read names, one per line in UTF-8. Empty lines, Windows line ends and a byte order mark are ignored.

    label is what messages call the file. Raises InputError if it cannot be read, or for a line that holds no name.
    """
    for number in count(1):
        try:
            line = file.readline(MAX_NAME_BYTES)
        except OSError as err:
            raise InputError(f"cannot read {label}: {err.strerror or err}") from err
        if not line:
            return
        if len(line) == MAX_NAME_BYTES and not line.endswith(b"\n"):
            raise InputError(f"{label}, line {number}: longer than a mebibyte; write one name per line")
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        try:
            name = line.decode()
        except UnicodeDecodeError as err:
            raise InputError(
                f"{label}, line {number}: byte {err.start + 1} is 0x{line[err.start]:02x}, which is not UTF-8; "
                "save the file as UTF-8"
            ) from err
        if name:
            yield name


def file_stems(names: list[str]) -> list[str]:
    """A file stem for each name. Different names get different stems, readable ones where possible.

    Characters that some file system forbids, and a leading dot, which hides a file, become %XX. A stem that would be
    empty, too long, a device of Windows, or equal to another but for upper and lower case gets a digest of the name.
    """
    stems = [re.sub(_FORBIDDEN, _percent, name) for name in names]
    owners: dict[str, str] = {}
    for i, (name, stem) in enumerate(zip(names, stems, strict=True)):
        if (
            re.search(_NEEDS_DIGEST, stem)
            or len(stem.encode()) > 100
            or owners.setdefault(unicodedata.normalize("NFC", stem).casefold(), name) != name
        ):
            digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
            stems[i] = f"{stem[:24]}-{digest}" if stem else digest
    return stems


# Compiled with the first name: it takes 1 ms, which a grid does not need.
_FORBIDDEN = r'^\.|[\x00-\x1f\x7f\ud800-\udfff<>:"/\\|?*%]|[. ]$'
_NEEDS_DIGEST = r"(?i)^$|^(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\.|$)|(^|-)[0-9a-f]{16}$"


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))
