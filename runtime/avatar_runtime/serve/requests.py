"""Parse a request: its path and query become a Picture and the format of its file."""

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl

from avatar_runtime.errors import InputError
from avatar_runtime.imaging.portrait import Portrait
from avatar_runtime.latents import series
from avatar_runtime.output.picture import Picture
from avatar_runtime.serve.negotiation import FORMATS, preferred_format

MAX_NAME = 200
"""Characters in a name. An address has room for few more."""
MIN_SIZE, MAX_SIZE = 16, 1024
"""Pixels a side of an avatar."""
MAX_COUNT, MAX_GRID_SIZE = 100, 128
"""Avatars in a grid, and pixels a side of each: WebP holds 16,383 pixels a side, and one column of all is 12,800."""
DEFAULT_COUNT = 64

OPTIONS = ("size", "truncation", "circle", "background", "fmt")
GRID_OPTIONS = (*OPTIONS, "count", "columns")
SWITCH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
HEX_COLOUR = "#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"

_NO_FORMATS = re.compile(r"\.(gif|svg|bmp|tiff?|ico|heic|jxl)$", re.IGNORECASE)
"""Endings of pictures that cannot be made here; any other ending is a part of the name."""


class Asked(NamedTuple):
    """What a request asks for."""

    picture: Picture
    extension: str
    negotiated: bool = False
    """Whether the Accept header chose the format, so that the answer varies with it."""


def is_picture(path: str) -> bool:
    """Whether a path ends in the extension of a picture."""
    return path.endswith(tuple(FORMATS))


@lru_cache(maxsize=4096)  # a tenth of the time that an answer from the cache takes
def parse_avatar(name: str, query_string: bytes, accept: bytes | None) -> Asked:
    """Parse a request for one avatar.

    Args:
        name: The decoded last part of the path: a name, or a name and an extension.
        query_string: The query as it was sent, without its question mark.
        accept: The Accept header; it chooses the format if neither an extension nor fmt does.

    Raises:
        InputError: The request cannot be answered with a picture.
    """
    query = parse_query(query_string, OPTIONS)
    name, extension, negotiated = _format(name, query, accept)
    size = whole(query, "size", MIN_SIZE, MAX_SIZE) if "size" in query else None
    picture = Picture((_short("name", name),), _truncation(query), _portrait(size, extension, query))
    return Asked(picture, extension, negotiated)


def parse_grid(seed: str, query_string: bytes, accept: bytes | None, image_size: int) -> Asked:
    """Parse a request for a grid of a series, as `parse_avatar` does; image_size is what the model draws."""
    query = parse_query(query_string, GRID_OPTIONS)
    seed, extension, negotiated = _format(seed, query, accept)
    count = whole(query, "count", 1, MAX_COUNT) if "count" in query else DEFAULT_COUNT
    columns = whole(query, "columns", 1, MAX_COUNT) if "columns" in query else None
    default = MAX_GRID_SIZE if image_size > MAX_GRID_SIZE else None
    size = whole(query, "size", MIN_SIZE, MAX_GRID_SIZE) if "size" in query else default
    names = tuple(series(_short("seed", seed), count))
    picture = Picture(names, _truncation(query), _portrait(size, extension, query), columns)
    return Asked(picture, extension, negotiated)


def parse_query(query_string: bytes, known: Collection[str]) -> dict[str, str]:
    """The options in a query. A misspelt one would be answered, and cached, as if it were not there."""
    if not query_string:
        return {}
    if re.search(rb"%(?![0-9a-fA-F]{2})", query_string):
        raise InputError("in an address % stands before two hexadecimal digits; write the sign itself as %25")
    options: dict[str, str] = {}
    try:
        pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as err:
        raise InputError("the options are not UTF-8; percent-encode them as encodeURIComponent does") from err
    for key, value in pairs:
        if key in options:
            raise InputError(f"{key[:20]} is given twice")
        if key not in known:
            raise InputError(f"there is no option {key[:20]!r}; there are {', '.join(known)}")
        options[key] = value
    return options


def whole(query: Mapping[str, str], key: str, least: int, most: int) -> int:
    """A whole number. Raises InputError if it is not one, or out of range."""
    text = query[key]
    if not (re.fullmatch("[0-9]{1,9}", text) and least <= int(text) <= most):
        raise InputError(f"{key} must be a whole number from {least} to {most}, not {text[:20]!r}")
    return int(text)


def _format(name: str, query: Mapping[str, str], accept: bytes | None) -> tuple[str, str, bool]:
    """The name without its extension, the extension, and whether the Accept header chose it."""
    stem, dot, ending = name.rpartition(".")
    given = dot + ending if dot + ending in FORMATS else ""
    asked = query.get("fmt")
    if given and asked:
        raise InputError(f"the address ends in {given} and has fmt={asked[:20]}; leave one of them out")
    if asked is not None and f".{asked}" not in FORMATS:
        raise InputError(f"fmt must be one of {', '.join(known[1:] for known in FORMATS)}, not {asked[:20]!r}")
    if given:
        return stem, given, False
    if asked:
        return name, f".{asked}", False
    if found := _NO_FORMATS.search(name):
        raise InputError(f"this service makes no {found[0]}, but {', '.join(FORMATS)}")
    return name, preferred_format(accept), True


def _portrait(size: int | None, extension: str, query: Mapping[str, str]) -> Portrait:
    """How an avatar is shown. A background asks for a circle."""
    background = _colour(query["background"]) if "background" in query else None
    circle = background is not None
    if "circle" in query:
        text = query["circle"]
        if text.lower() not in SWITCH:
            raise InputError(f"circle must be 1 or 0, not {text[:20]!r}")
        circle = SWITCH[text.lower()]
    return portrait(size, circle, background, extension)


def portrait(size: int | None, circle: bool, background: str | None, extension: str) -> Portrait:
    """What a format can show: a square has nothing behind it; a JPEG, which cannot be transparent, has white there."""
    if circle and background is None and extension in (".jpg", ".jpeg"):
        background = "white"
    return Portrait(size, circle, background if circle else None)


def _colour(text: str) -> str:
    if not text:
        raise InputError("background is empty; in an address # is left out or written %23, as in background=fc0")
    if re.fullmatch(HEX_COLOUR, text):
        return "#" + text.removeprefix("#").lower()
    if not re.fullmatch("[a-zA-Z]{1,40}", text):
        raise InputError(f"background must be a colour such as white or ffcc00, not {text[:20]!r}")
    Portrait(None, True, text)
    return text.lower()


def _short(what: str, text: str) -> str:
    if len(text) > MAX_NAME:
        raise InputError(f"the {what} has {len(text)} characters; {MAX_NAME} are allowed")
    return text


def _truncation(query: Mapping[str, str]) -> float:
    text = query.get("truncation", "1")
    try:
        if re.fullmatch(r"[0-9.eE+-]{1,40}", text) is None:
            raise ValueError
        return float(text)
    except ValueError as err:
        raise InputError(f"truncation must be a number from 0 to 2, not {text[:20]!r}") from err
