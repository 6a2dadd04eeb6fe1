"""Draw a picture again from the text in its file and compare the two."""

import io
import warnings
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageSequence

from avatar_runtime.errors import InputError, ModelFileError
from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.imaging.encoding import text_of
from avatar_runtime.model_file.reading import read_file
from avatar_runtime.model_file.registry import released_model
from avatar_runtime.output.picture import Picture, read_text

MAX_PIXELS = 80_000_000
"""A larger picture is not compared: Pillow takes it for a decompression bomb."""


@dataclass(frozen=True)
class Reproduction:
    """The result of drawing a picture again."""

    picture: Picture
    """The picture that the text describes."""
    data: bytes
    """The file as it is drawn now."""
    difference: int
    """The largest difference from the pixels in the file, in levels (of 255): 0 if they are identical."""


def reproduce(path: Path, generator: AvatarGenerator) -> Reproduction:
    """Draw the picture in a file again, encode it in the same format and compare the pixels.

    Args:
        path: A PNG, WebP, JPEG, AVIF or GIF that avatar-edge wrote.
        generator: The model that drew it.

    Raises:
        InputError: The file is not a picture, carries no text of avatar-edge, asks for another model or for more than
            one picture may show, or is not of the size that its text says. Then nothing is drawn.
    """
    try:
        with _open(io.BytesIO(read_file(path, check_head=_check_is_picture))) as found:
            picture, scheme, model = read_text(_text(found))
            _check_model(generator, scheme, model)
            size = picture.size(generator.spec.image_size)
            if found.size != size:
                raise InputError(f"it has {found.width}x{found.height} pixels, but its text says {size[0]}x{size[1]}")
            data = picture.render(generator, f".{str(found.format).lower()}")
            with _open(io.BytesIO(data)) as drawn:
                return Reproduction(picture, data, _difference(found, drawn))
    except (InputError, ModelFileError) as err:
        raise InputError(f"{path}: {err}") from err


def _check_is_picture(head: bytes) -> None:
    if not head.startswith((b"\x89PNG", b"RIFF", b"\xff\xd8\xff", b"GIF8")) and head[4:] != b"ftyp":
        raise ModelFileError("it is not a picture that avatar-edge writes")


def _open(file: BinaryIO) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # refused below, in a sentence
            image = Image.open(file, formats=["PNG", "WEBP", "JPEG", "GIF", "AVIF"])
    except OSError as err:
        raise InputError("it is not a picture that avatar-edge writes") from err
    except Exception as err:  # Pillow's parsers raise what they meet: SyntaxError, struct.error, its bomb error, …
        raise InputError(f"it is a damaged picture ({err})") from err
    if image.width * image.height > MAX_PIXELS:
        raise InputError(f"its {image.width}x{image.height} pixels are too many to compare")
    return image


def _text(image: Image.Image) -> str:
    try:
        return text_of(image) or ""
    except Exception as err:  # as above
        raise InputError(f"its text is damaged ({err})") from err


def _check_model(generator: AvatarGenerator, scheme: str, model: str) -> None:
    if scheme != generator.spec.latent_scheme:
        raise InputError(f"it was drawn by the latent scheme {scheme!r}, and this version uses another")
    if model != generator.model_sha256:
        name = released_model(model) or f"the one with SHA-256 {model[:64]}"
        raise InputError(f"it was drawn by another model, {name}; use that one")


def _difference(found: Image.Image, drawn: Image.Image) -> int:
    difference = 0
    try:
        for one, other in zip_longest(ImageSequence.Iterator(found), ImageSequence.Iterator(drawn)):
            if one is None or other is None:
                return 255
            levels = (np.asarray(image.convert("RGBA"), np.int16) for image in (one, other))
            difference = max(difference, int(np.abs(next(levels) - next(levels)).max()))
    except Exception as err:  # as above
        raise InputError(f"it is a damaged picture ({err})") from err
    return difference
