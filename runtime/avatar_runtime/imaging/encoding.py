"""An image becomes the bytes of an image file, with a text in it that says what it shows, and back."""

import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from avatar_runtime.errors import InputError
from avatar_runtime.imaging.arrays import UInt8, to_pil
from avatar_runtime.imaging.png import is_zipped, png

if TYPE_CHECKING:  # 8 ms, which a PNG does not need
    from PIL import Image

TEXT_KEY = "avatar-edge"
"""The keyword of the text chunk that says, as JSON, which avatar a PNG file shows."""

_EXIF_DESCRIPTION = 0x010E
"""The EXIF tag ImageDescription, which holds the same text in a WebP and a JPEG."""

_FORMATS: Mapping[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    # The least effort takes 0.17 instead of 5.2 ms and costs 6% more bytes.
    ".webp": ("WEBP", {"lossless": True, "method": 0}),
    ".jpg": ("JPEG", {"quality": 95}),
    ".jpeg": ("JPEG", {"quality": 95}),
}


def from_png(data: bytes) -> UInt8:
    """The inverse of `encode` for a PNG of one image: uint8 [H, W, C]."""
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def encode(image: UInt8, extension: str, text: Mapping[str, Any] | None = None) -> bytes:
    """One image as the bytes of a file: extension is .png, .webp (lossless), .jpg or .jpeg.

    text, if given, goes into the file as `text_options` says. Raises InputError for another extension, or for an image
    larger than the format can hold.
    """
    check_extension(extension)
    format_name, options = _FORMATS[extension.lower()]
    if format_name == "PNG":
        return png(image, {} if text is None else {TEXT_KEY: _json(text)})
    buffer = io.BytesIO()
    buffer.name = f"picture{extension}"  # told the format instead, Pillow would load all its formats: 10 ms
    try:
        to_pil(image).save(buffer, **options, **text_options(format_name, text))
    except (OSError, ValueError) as err:
        height, width = image.shape[:2]
        raise InputError(f"{format_name} cannot hold a picture of {width}x{height} pixels ({err})") from err
    return buffer.getvalue()


def text_options(format_name: str, text: Mapping[str, Any] | None) -> dict[str, Any]:
    """What Pillow has to be told so that text goes into a file as JSON.

    A PNG has it under TEXT_KEY, a GIF as its comment, a WebP and a JPEG as the description in EXIF. A JPEG has room
    for 64 KiB of it; a longer text, of a grid of thousands, is left out.
    """
    if text is None:
        return {}
    content = _json(text)
    if format_name == "PNG":
        from PIL import PngImagePlugin

        info = PngImagePlugin.PngInfo()
        info.add_text(TEXT_KEY, content, zip=is_zipped(content))
        return {"pnginfo": info}
    if format_name == "GIF":
        return {"comment": content.encode()}
    if format_name == "JPEG" and len(content) > 65_000:
        return {}
    from PIL import Image

    exif = Image.Exif()
    exif[_EXIF_DESCRIPTION] = content
    return {"exif": exif}


def _json(text: Mapping[str, Any]) -> str:
    return json.dumps(text, ensure_ascii=True, sort_keys=True)


def text_of(image: "Image.Image") -> str | None:
    """The text that `text_options` put into a picture, or any other that stands in its place."""
    if image.format in ("WEBP", "JPEG"):
        found = image.getexif().get(_EXIF_DESCRIPTION)
    else:
        found = image.info.get(TEXT_KEY if image.format == "PNG" else "comment")
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else found if isinstance(found, str) else None


def check_extension(extension: str) -> None:
    """Raise InputError unless extension names a picture format that can be written."""
    if extension.lower() not in _FORMATS:
        what = repr(extension) if extension else "a name without extension"
        raise InputError(f"{what} is no picture format; use one of {', '.join(_FORMATS)}")
