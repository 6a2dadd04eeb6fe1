"""Encode an image as a PNG file.

Pillow does so too, but tries five filters for each row and holds Python's lock all the while, so that threads wait for
each other. One filter for all rows, Paeth's, makes files of faces just as small.

"Portable Network Graphics (PNG) Specification (Third Edition)", W3C 2025: chunks, section 5; filters, section 9.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

_Int16 = npt.NDArray[np.int16]

_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # grey, RGB and RGBA, by their channels
_PAETH = 4
_STRIP = 2**15  # bytes that are filtered at once: their arrays stay in the cache


def png(image: npt.NDArray[np.uint8], text: Mapping[str, str]) -> bytes:
    """The bytes of a file with an image uint8 [H, W, C], C 1, 3 or 4, and with texts by keyword, in ASCII."""
    height, width, channels = image.shape
    # Faces never repeat, so zlib's search for matches finds nothing; run lengths alone serve enlarged pictures.
    deflate = zlib.compressobj(strategy=zlib.Z_RLE)
    data = [*map(deflate.compress, _filtered(image)), deflate.flush()]
    chunks = [
        (b"IHDR", struct.pack(">2I5B", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)),
        *(_text(keyword, content) for keyword, content in text.items()),
        (b"IDAT", b"".join(data)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
        for kind, content in chunks
    )


def is_zipped(content: str) -> bool:
    """Whether to compress a text: if it is worth it, and is no longer than the 1 MiB that Pillow inflates."""
    return 1000 < len(content) < 2**20


def _text(keyword: str, content: str) -> tuple[bytes, bytes]:
    if is_zipped(content):
        return b"zTXt", f"{keyword}\0\0".encode() + zlib.compress(content.encode())
    return b"tEXt", f"{keyword}\0{content}".encode()


def _filtered(image: npt.NDArray[np.uint8]) -> Iterator[bytes]:
    """The filtered rows of an image, some at a time, each after the number of its filter."""
    height, width, channels = image.shape
    pixels = image.reshape(height, width * channels)
    count = -(-_STRIP // (width * channels))
    for top in range(0, height, count):
        strip = pixels[max(top - 1, 0) : top + count]
        rows = min(count, height - top)
        # The filter takes what lies left of a row and above the first as zeros.
        length = channels + width * channels
        known = np.zeros(channels + (rows + 1) * length, np.int16)
        known[channels:].reshape(rows + 1, length)[-len(strip) :, channels:] = strip
        pixel, left = known[channels + length :], known[length:-channels]
        above, corner = known[channels:-length], known[: -length - channels]
        lines = _differences(pixel, left, above, corner).reshape(rows, length)[:, channels - 1 :]
        lines[:, 0] = _PAETH
        yield lines.tobytes()


def _differences(pixel: _Int16, left: _Int16, above: _Int16, corner: _Int16) -> npt.NDArray[np.uint8]:
    """Each pixel minus the neighbour that is closest to left + above - corner, modulo 256."""
    to_left, to_above = left - corner, above - corner
    from_corner = np.abs(to_left + to_above)
    from_left, from_above = np.abs(to_above), np.abs(to_left)
    is_left = from_left <= np.minimum(from_above, from_corner)
    is_above = (from_above <= from_corner) > is_left
    # Products: np.where takes ten times as long.
    differences: _Int16 = pixel - corner - to_left * is_left - to_above * is_above
    return differences.astype(np.uint8)
