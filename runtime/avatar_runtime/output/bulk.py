"""Names out of files, and one file for each avatar."""

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
"""The longest line that is read as a name: a file without line ends is none of names."""

PART = 32
"""Avatars that a worker draws at a time: files take nothing less beyond, and memory stays small."""

T = TypeVar("T")


class Written(NamedTuple):
    """A file that was written."""

    path: Path
    """Where it is."""
    sha256: str
    """The digest of its bytes."""
    text: dict[str, Any]
    """What its text says: see `Picture.text`."""


def draw_file(path: Path, data: bytes, text: dict[str, Any]) -> Written:
    """Write the bytes of a picture, whole or not at all. Raises OutputError."""
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
    """Draw one file for each avatar, a pair of the file's stem and the avatar's name, lazily and in order.

    workers threads, by default one for each CPU that this process may use, draw, encode and write a few avatars each at
    a time; a generator loaded with threads=1 serves them best. Any number of avatars fits in memory. Arguments are
    checked and the folder is made when the first is drawn. Raises InputError and OutputError.
    """
    from avatar_runtime.output.parallel import in_order  # 6 ms that one picture does not need

    Picture(("",), truncation, portrait).check_format(extension)
    check_threads(workers)
    workers = workers or cpu_limit()
    check_can_start(workers if workers > 1 else 0)
    if best_of is not None:
        best_of.check(generator.spec)
    make_folder(folder)

    def draw(part: list[tuple[str, str]]) -> list[Written]:
        kept: Iterable[Choice | None] = [None] * len(part)
        if best_of is not None:
            candidates = best_of.candidates(generator, [name for _, name in part], truncation)
            kept = (best_of.choice([k]) for k in candidates)
        pictures = [
            Picture((name,), truncation, portrait, choice=choice) for (_, name), choice in zip(part, kept, strict=True)
        ]
        images = generator.generate([picture.drawn[0] for picture in pictures], truncation=truncation)
        return [write(stem, *drawn) for (stem, _), *drawn in zip(part, pictures, images, strict=True)]

    def write(stem: str, picture: Picture, image: UInt8) -> Written:
        text = picture.text(generator)
        data = encode(portrait.show(image[None])[0], extension, text)  # one at a time: the largest takes 64 MB
        name = os.fsdecode(f"{stem}{extension}".encode())  # the same bytes on the disk in any locale
        return draw_file(folder / name, data, text)

    avatars = iter(avatars)
    parts = iter(lambda: list(islice(avatars, PART)), [])
    yield from chain.from_iterable(in_order(draw, parts, workers))


def numbered(seed: str | int, count: int) -> Iterator[tuple[str, str]]:
    """Stem and name of each avatar of a series: numbers, of one width so that they sort."""
    width = len(str(count - 1))
    return ((f"{i:0{width}}", name) for i, name in enumerate(series(seed, count)))


def named(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Stem and name of each avatar: a name that comes twice is drawn once."""
    different = list(dict.fromkeys(names))
    return zip(file_stems(different), different, strict=True)


def shard(items: Iterable[T], index: int, count: int) -> Iterator[T]:
    """The index-th of count disjoint parts of items, index from 1: every count-th item. Raises InputError."""
    if not 1 <= index <= count:
        raise InputError(f"a shard is one of 1/{count} to {count}/{count}, not {index}/{count}")
    return islice(items, index - 1, None, count)


def read_names(file: BinaryIO, label: str) -> Iterator[str]:
    """Names out of a file, one a line in UTF-8; label says in messages which file it is.

    Empty lines, the line ends of Windows and a byte order mark are passed over. Raises InputError, with the number of
    the line.
    """
    for number in count(1):
        try:
            line = file.readline(MAX_NAME_BYTES)
        except OSError as err:
            raise InputError(f"cannot read {label}: {err.strerror or err}") from err
        if not line:
            return
        if len(line) == MAX_NAME_BYTES and not line.endswith(b"\n"):
            raise InputError(f"{label}, line {number}: longer than a mebibyte; write one name a line")
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
    """A file name without extension for each name, readable where it can be, and different where the names are.

    Characters that some file system forbids, and a leading dot, which hides a file, are written %XX. What would be
    empty, too long, a device of Windows, or different only by upper and lower case gets a digest of the name.
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


# Compiled when the first name comes: 1 ms, which a grid does not need.
_FORBIDDEN = r'^\.|[\x00-\x1f\x7f\ud800-\udfff<>:"/\\|?*%]|[. ]$'
_NEEDS_DIGEST = r"(?i)^$|^(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\.|$)|(^|-)[0-9a-f]{16}$"


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))
