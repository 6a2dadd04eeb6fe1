"""Encode an image as a file, with a text inside that says what it shows, and decode it."""

import io
import json
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from avatar_runtime.errors import InputError
from avatar_runtime.imaging.arrays import UInt8, to_pil
from avatar_runtime.imaging.png import is_zipped, png

if TYPE_CHECKING:  # 8 ms, which a PNG does not need
    from PIL import Image

TEXT_KEY = "avatar-edge"
"""The keyword of the PNG text chunk that says, as JSON, what the picture shows."""

_EXIF_DESCRIPTION = 0x010E
"""The EXIF tag ImageDescription, which holds that text in a WebP, a JPEG and an AVIF."""

_FORMATS: Mapping[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    # Method 0 takes 0.17 instead of 5.2 ms and costs 6% more bytes.
    ".webp": ("WEBP", {"lossless": True, "method": 0}),
    ".jpg": ("JPEG", {"quality": 95}),
    ".jpeg": ("JPEG", {"quality": 95}),
    # A third of a WebP's bytes at 64 pixels. Speed 8 takes three times as long and saves 4%.
    ".avif": ("AVIF", {"quality": 90, "speed": 10, "subsampling": "4:4:4", "max_threads": 1}),
}


def from_png(data: bytes) -> UInt8:
    """Decode a PNG of one image: uint8 [H, W, C]."""
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def encode(image: UInt8, extension: str, text: Mapping[str, Any] | None = None) -> bytes:
    """Encode one image.

    Args:
        image: uint8 [H, W, C], C 1, 3 or 4.
        extension: .png, .webp (lossless), .jpg, .jpeg, or .avif where Pillow has it.
        text: What the picture shows; it is stored as `text_options` says.

    Returns:
        The bytes of the file.

    Raises:
        InputError: The extension is another one, or the image is larger than the format can hold.
    """
    check_extension(extension)
    format_name, options = _FORMATS[extension.lower()]
    if format_name == "PNG":
        return png(image, {} if text is None else {TEXT_KEY: _json(text)})
    buffer = io.BytesIO()
    buffer.name = f"picture{extension}"  # with format= Pillow would load all its formats: 10 ms
    try:
        to_pil(image).save(buffer, **options, **text_options(format_name, text))
    except (OSError, ValueError) as err:
        height, width = image.shape[:2]
        raise InputError(f"{format_name} cannot hold a picture of {width}x{height} pixels ({err})") from err
    return buffer.getvalue()


def text_options(format_name: str, text: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options of Pillow's save that store a text as JSON.

    A PNG holds it under TEXT_KEY, a GIF as its comment, a WebP, a JPEG and an AVIF as the EXIF description. A JPEG
    has room for 64 KiB; a longer text, of a grid of thousands, is left out.
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
    """The text at the place where `text_options` stores it, whoever wrote it; None if there is none."""
    if image.format in ("WEBP", "JPEG", "AVIF"):
        found = image.getexif().get(_EXIF_DESCRIPTION)
    else:
        found = image.info.get(TEXT_KEY if image.format == "PNG" else "comment")
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else found if isinstance(found, str) else None


def check_extension(extension: str) -> None:
    """Raise InputError unless extension names a picture format that can be written."""
    if not writable(extension):
        if extension.lower() == ".avif":
            raise InputError("this Pillow writes no AVIF: update it to 11.3 or newer, or use another format")
        what = f"{extension!r} is not a picture format" if extension else "a name without an extension has no format"
        if extension.lower() == ".gif":
            what = "'.gif' is for animations, from one avatar to another"
        raise InputError(f"{what}; use one of {', '.join(filter(writable, _FORMATS))}")


def writable(extension: str) -> bool:
    """Whether extension names a picture format that can be written here."""
    if extension.lower() == ".avif":
        return find_spec("PIL._avif") is not None  # not imported: 5 ms, which nothing but an AVIF needs
    return extension.lower() in _FORMATS
