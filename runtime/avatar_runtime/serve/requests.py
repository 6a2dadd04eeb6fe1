"""What an address asks for: the path and the query of a request become a Picture."""

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from avatar_runtime.errors import InputError
from avatar_runtime.imaging.portrait import Portrait
from avatar_runtime.latents import series
from avatar_runtime.output.picture import Picture

MAX_NAME = 200
"""Characters in a name: an address has room for few more."""
MAX_SIZE = 1024
"""Pixels a side of an avatar."""
MAX_COUNT = 256
"""Avatars in a grid."""
MAX_SIDE = 4096
"""Pixels a side of a grid."""

_EXTENSIONS = (".png", ".webp", ".jpg", ".jpeg")


def is_picture(path: str) -> bool:
    """Whether a path is that of a picture: it ends in an extension that `parse` knows."""
    return path.endswith(_EXTENSIONS)


def parse(path: str, raw_path: bytes, query: Mapping[str, str], image_size: int) -> tuple[Picture, str]:
    """The picture and the extension that a request asks for.

    path is a picture's, decoded and without its leading slash, raw_path as it came. NAME.png is the avatar of a name;
    grid.png with a seed in the query is the grid of a series. Raises InputError.
    """
    try:
        unquote_to_bytes(raw_path).decode()
    except UnicodeDecodeError as err:
        raise InputError("the name is not UTF-8; percent-encode it as encodeURIComponent does") from err
    name, dot, extension = path.rpartition(".")
    extension = dot + extension
    size = _whole(query, "size", MAX_SIZE) if "size" in query else None
    portrait = Portrait(size, query.get("circle", "0") not in ("0", "false"), query.get("background"))
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
