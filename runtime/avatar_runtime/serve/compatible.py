"""The addresses of other avatar services, for applications that can be pointed at another host.

Gravatar: https://docs.gravatar.com/sdk/images/. Libravatar, which GitLab and Gitea know, takes the same.
DiceBear: https://www.dicebear.com/how-to-use/http-api/.

Options that concern only those services' own pictures are ignored, as they themselves ignore options that they do not
know. The model is always the service's first: such an address has no place for an id.
"""

import re
from collections.abc import Collection
from urllib.parse import parse_qsl

from avatar_runtime.errors import InputError
from avatar_runtime.imaging.portrait import Portrait
from avatar_runtime.output.picture import Picture
from avatar_runtime.serve.negotiation import FORMATS, preferred_format
from avatar_runtime.serve.requests import HEX_COLOUR, MAX_NAME, MAX_SIZE, MIN_SIZE, Asked, portrait

CHOICES = ("gravatar", "dicebear", "dicebear-svg")
"""What can be asked for; dicebear-svg answers a request for an SVG with a PNG."""

_GRAVATAR = re.compile(r"avatar/([0-9a-fA-F]{32}|[0-9a-fA-F]{64})(\.[a-z]+)?")
_DICEBEAR = re.compile(r"[0-9]{1,2}\.x/[a-z0-9@.-]{1,64}/([a-z]{2,5})")
GRAVATAR_SIZE = 80
"""Pixels a side where none are asked for."""


def is_compatible(path: str, choices: Collection[str]) -> bool:
    """Whether a path is an address of one of these services."""
    return bool(
        ("gravatar" in choices and _GRAVATAR.fullmatch(path))
        or ({"dicebear", "dicebear-svg"} & set(choices) and _DICEBEAR.fullmatch(path))
    )


def parse_compatible(path: str, query_string: bytes, accept: bytes | None, choices: Collection[str]) -> Asked | None:
    """Parse a request to another service; `is_compatible` is true of its path.

    Returns None if the service would say that there is nothing. Raises InputError if no picture can be the answer.
    """
    options = dict(parse_qsl(query_string.decode("ascii", "replace"), keep_blank_values=True))
    if found := _GRAVATAR.fullmatch(path):
        return _gravatar(found[1].lower(), found[2], options, accept)
    return _dicebear(path.rpartition("/")[2], options, "dicebear-svg" in choices)


def _gravatar(digest: str, extension: str | None, options: dict[str, str], accept: bytes | None) -> Asked | None:
    """Whoever has a digest has a face, so that the default picture is only shown to those who force it."""
    default = options.get("d", options.get("default", ""))
    if default == "404" and options.get("f", options.get("forcedefault", "")) in ("y", "yes", "1"):
        return None
    size = _size(options.get("s", options.get("size", str(GRAVATAR_SIZE))))
    chosen = extension or preferred_format(accept)
    if chosen not in FORMATS:
        raise InputError(f"this service makes no {chosen}, but {', '.join(FORMATS)}")
    return Asked(Picture((digest,), portrait=Portrait(size)), chosen, negotiated=extension is None)


def _dicebear(ending: str, options: dict[str, str], svg: bool) -> Asked:
    extension = ".png" if ending == "svg" and svg else f".{ending}"
    if extension not in FORMATS:
        hint = "; --compatible dicebear-svg sends a PNG instead" if ending == "svg" else ""
        raise InputError(f"this service makes no {ending}, but {', '.join(FORMATS)}{hint}")
    seed = options.get("seed", "")
    if len(seed) > MAX_NAME:
        raise InputError(f"the seed has {len(seed)} characters; {MAX_NAME} are allowed")
    behind = options.get("backgroundColor", "").partition(",")[0]
    background = f"#{behind.lower()}" if re.fullmatch(HEX_COLOUR, behind) else None
    size = _size(options["size"]) if "size" in options else None
    shown = portrait(size, options.get("radius") == "50", background, extension)
    return Asked(Picture((seed,), portrait=shown), extension)


def _size(text: str) -> int:
    """Pixels, brought into the range of this service."""
    if not re.fullmatch("[0-9]{1,9}", text):
        raise InputError(f"the size must be a whole number, not {text[:20]!r}")
    return min(max(int(text), MIN_SIZE), MAX_SIZE)
