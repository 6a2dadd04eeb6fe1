"""What a client can read: the format of a picture by its Accept header, and gzip by Accept-Encoding."""

import re
from functools import lru_cache

from avatar_runtime.imaging.encoding import writable

FORMATS = {
    extension: media_type
    for extension, media_type in {
        ".png": "image/png",
        ".webp": "image/webp",
        ".jpg": "image/jpeg",
        ".jpeg": "image/jpeg",
        ".avif": "image/avif",
    }.items()
    if writable(extension)
}
"""The media type of each extension that this Pillow can write."""

_BY_ACCEPT = [extension for extension in (".webp", ".avif", ".png") if extension in FORMATS]
"""Formats for those who name them, the best first: a WebP has the pixels of the PNG, an AVIF takes 20 times as long."""


@lru_cache(maxsize=256)
def preferred_format(accept: bytes | None) -> str:
    """The extension of the format that an Accept header prefers (RFC 9110, section 12.5.1).

    A WebP or AVIF only if it is named: a client that takes */* may be one that knows neither. A client that takes none
    of them gets a PNG.
    """
    qualities = _qualities(accept or b"")
    everything = max(qualities.get("*/*", 0.0), qualities.get("image/*", 0.0))
    best, found = qualities.get("image/png", everything), ".png"
    for extension in _BY_ACCEPT:
        quality = qualities.get(FORMATS[extension], 0.0)
        if quality > best or (quality == best > 0 and found == ".png"):
            best, found = quality, extension
    return found


def takes_gzip(accept_encoding: bytes | None) -> bool:
    """Whether a client takes gzip (RFC 9110, section 12.5.3)."""
    qualities = _qualities(accept_encoding or b"")
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def _qualities(header: bytes) -> dict[str, float]:
    """The quality of each item in a header of preferences. What cannot be read is left out."""
    qualities = {}
    for item in header.decode("latin-1").lower().split(","):
        value, *parameters = (part.strip() for part in item.split(";"))
        quality = next((text for text in parameters if text.startswith("q=")), "q=1")
        if value and re.fullmatch(r"q=(0(\.\d{0,3})?|1(\.0{0,3})?)", quality):
            qualities[value] = float(quality[2:])
    return qualities
