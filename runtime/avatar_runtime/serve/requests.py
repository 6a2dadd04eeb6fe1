"""Parse a request: its path and query become a Picture."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote_to_bytes

from avatar_runtime.errors import InputError
from avatar_runtime.imaging.portrait import Portrait
from avatar_runtime.latents import series
from avatar_runtime.output.picture import Picture

MAX_NAME = 200
"""Characters in a name. An address has room for few more."""
MAX_SIZE = 1024
"""Pixels a side of an avatar."""
MAX_COUNT = 256
"""Avatars in a grid."""
MAX_SIDE = 4096
"""Pixels a side of a grid."""

_OPTIONS = ("size", "truncation", "circle", "background")
_GRID_OPTIONS = ("seed", "count", "columns")
_SWITCH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}

_EXTENSIONS = (".png", ".webp", ".jpg", ".jpeg")


def is_picture(path: str) -> bool:
    """Whether a path asks for a picture: it ends in an extension that `parse` knows."""
    return path.endswith(_EXTENSIONS)


def parse(path: str, raw_path: bytes, query_string: bytes, image_size: int) -> tuple[Picture, str]:
    """Parse a request for a picture. NAME.png is an avatar; grid.png with a seed in the query is the grid of a series.

    Args:
        path: The decoded path, without its leading slash.
        raw_path: The path as it was sent.
        query_string: The query as it was sent, without its question mark.
        image_size: Height and width that the model draws.

    Returns:
        The picture and the extension of its file.

    Raises:
        InputError: The request cannot be answered with a picture.
    """
    try:
        unquote_to_bytes(raw_path).decode()
    except UnicodeDecodeError as err:
        raise InputError("the name is not UTF-8; percent-encode it as encodeURIComponent does") from err
    name, dot, extension = path.rpartition(".")
    extension = dot + extension
    query = _options(query_string, is_grid=name == "grid")
    size = _whole(query, "size", MAX_SIZE) if "size" in query else None
    portrait = Portrait(size, _switch(query, "circle"), _colour(query))
    if name == "grid" and "seed" in query:
        names = tuple(series(_short("seed", query["seed"]), _whole(query, "count", MAX_COUNT, 64)))
        columns = _whole(query, "columns", MAX_COUNT) if "columns" in query else None
    else:
        names, columns = (_short("name", name),), None
    picture = Picture(names, _truncation(query), portrait, columns)
    picture.check_format(extension)
    if max(picture.size(image_size)) > MAX_SIDE:
        raise InputError(f"the grid would be more than {MAX_SIDE} pixels long; ask for fewer or smaller avatars")
    return picture, extension


def _options(query_string: bytes, is_grid: bool) -> dict[str, str]:
    """The options in a query. A misspelt one would be answered, and cached, as if it were not there."""
    options: dict[str, str] = {}
    for key, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True):
        if key in options:
            raise InputError(f"{key[:20]} is given twice")
        options[key] = value
    known = (*_OPTIONS, *_GRID_OPTIONS) if is_grid and "seed" in options else _OPTIONS
    for key in options:
        if key in _GRID_OPTIONS and key not in known:
            raise InputError(f"{key} is for grid.png with a seed, as in /grid.png?seed=S&count=9")
        if key not in known:
            raise InputError(f"there is no option {key[:20]!r}; there are {', '.join(known)}")
    return options


def _switch(query: Mapping[str, str], key: str) -> bool:
    text = query.get(key, "0")
    if text.lower() not in _SWITCH:
        raise InputError(f"{key} must be 1 or 0, not {text[:20]!r}")
    return _SWITCH[text.lower()]


def _colour(query: Mapping[str, str]) -> str | None:
    if query.get("background") == "":
        raise InputError("background is empty; in an address # is written %23, as in background=%23fc0")
    return query.get("background")


def _short(what: str, text: str) -> str:
    if len(text) > MAX_NAME:
        raise InputError(f"the {what} has {len(text)} characters; {MAX_NAME} are allowed")
    return text


def _whole(query: Mapping[str, str], key: str, most: int, default: int = 0) -> int:
    text = query.get(key, str(default))
    if not (re.fullmatch("[0-9]{1,9}", text) and 1 <= int(text) <= most):
        raise InputError(f"{key} must be a whole number from 1 to {most}, not {text[:20]!r}")
    return int(text)


def _truncation(query: Mapping[str, str]) -> float:
    text = query.get("truncation", "1")
    try:
        return float(text)
    except ValueError as err:
        raise InputError(f"truncation must be a number from 0 to 2, not {text[:20]!r}") from err
