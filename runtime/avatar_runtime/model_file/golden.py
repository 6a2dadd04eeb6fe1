"""The golden check: a few names and what they must look like, so that any runtime can check itself offline."""

import binascii
import hashlib
import struct
from base64 import b64decode
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar_runtime.errors import ModelFileError
from avatar_runtime.model_file.json_fields import Fields

MAX_IMAGES = 64
MAX_NAME = 1000
"""Characters in a golden name."""

_PNG_HEADER = struct.Struct(">8sI4sIIBBBBB")
_COLOUR_TYPES = {1: 0, 3: 2}  # grey and RGB, by their channels


@dataclass(frozen=True)
class GoldenCheck:
    """Names and the images that the model draws for them where it was made."""

    names: tuple[str, ...]
    """Names, drawn at truncation 1."""
    sha256: tuple[str, ...]
    """SHA-256 of each name's uint8 [H, W, C] image in C order, where the file was made."""
    png: tuple[str, ...]
    """The same images as PNG files in base64: what a CPU that differs is compared with."""
    tolerance: int
    """Levels (of 255) by which another CPU's image may differ."""

    @classmethod
    def from_fields(cls, fields: Fields, image_size: int, channels: int) -> "GoldenCheck":
        """Read the object `golden` of a model's metadata.

        Raises ValueError if a field is missing or damaged, or if an image's header is not that of a PNG of that size.
        """
        names = fields.texts("names", MAX_IMAGES, MAX_NAME)
        sha256 = fields.texts("sha256", MAX_IMAGES, 64)
        # A PNG of noise is a thousandth larger than its pixels, base64 a third larger than that.
        png = fields.texts("png", MAX_IMAGES, 2000 + image_size * (image_size * channels + 1) * 3 // 2)
        if not names:
            fields.refuse("names", "empty")
        for name, found in (("sha256", sha256), ("png", png)):
            if len(found) != len(names):
                fields.refuse(name, f"a list of {len(found)} for {len(names)} names")
        for text in png:
            try:
                header = b64decode(text, validate=True)[: _PNG_HEADER.size]
            except (binascii.Error, ValueError):
                fields.refuse("png", "not base64")
            if problem := _problem(header, image_size, channels):
                fields.refuse("png", problem)
        return cls(names, sha256, png, fields.whole("tolerance", 0, 255))

    def images(self) -> npt.NDArray[np.uint8]:
        """The golden images: uint8 [N, H, W, C]. Raises ModelFileError if one is damaged."""
        from avatar_runtime.imaging.encoding import from_png

        try:
            images = [from_png(b64decode(text)) for text in self.png]
        except Exception as err:  # Pillow's parser raises what it meets: SyntaxError, struct.error, …
            raise ModelFileError(f"its golden images are damaged ({err}); export the model again") from err
        for image, digest in zip(images, self.sha256, strict=True):
            if hashlib.sha256(image.tobytes()).hexdigest() != digest:
                raise ModelFileError("its golden images do not fit their digests; export the model again")
        return np.stack(images)


def _problem(header: bytes, image_size: int, channels: int) -> str:
    """What is wrong with the header of a PNG, or "" if it is one of 8 bits and the right size."""
    if len(header) < _PNG_HEADER.size:
        return "not a PNG image"
    signature, _, chunk, width, height, bits, colours, *_ = _PNG_HEADER.unpack(header)
    if signature != b"\x89PNG\r\n\x1a\n" or chunk != b"IHDR":
        return "not a PNG image"
    if (width, height) != (image_size, image_size):
        return f"an image of {width}x{height} pixels, where the model draws {image_size}x{image_size}"
    if (bits, colours) != (8, _COLOUR_TYPES[channels]):
        return "not an image of 8 bits a channel and of the model's channels"
    return ""
