"""Frames become an animation: a GIF, a WebP or an animated PNG, played there and back without end."""

import io
from collections.abc import Mapping
from typing import Any

from PIL import Image

from avatar_runtime.errors import InputError
from avatar_runtime.imaging.arrays import UInt8, to_pil
from avatar_runtime.imaging.encoding import text_options

FORMATS: Mapping[str, tuple[str, dict[str, Any]]] = {
    ".gif": ("GIF", {"disposal": 1}),
    ".webp": ("WEBP", {"lossless": True}),
    ".png": ("PNG", {}),
}

FRAME_MILLISECONDS = 50
"""How long a frame is shown: 20 in a second, which a GIF can say exactly."""


def check_animation(extension: str) -> None:
    """Raise InputError unless extension names a format that can move."""
    if extension.lower() not in FORMATS:
        what = repr(extension) if extension else "a name without extension"
        raise InputError(f"{what} holds no animation; use one of {', '.join(FORMATS)}")


def encode_animation(frames: UInt8, extension: str, text: Mapping[str, Any] | None = None) -> bytes:
    """Frames, uint8 [N, H, W, C], as the bytes of a file that plays them there and back, 2 * N - 2 in all.

    extension is .gif, .webp (lossless) or .png; text goes into the file as `pixels.encode` puts it. A GIF has 256
    colours a frame and no soft transparency. Raises InputError for another extension.
    """
    check_animation(extension)
    format_name, options = FORMATS[extension.lower()]
    pictures = [to_pil(frame) for frame in [*frames, *frames[-2:0:-1]]]
    if format_name == "GIF":
        pictures = [picture.convert("RGB").quantize(dither=Image.Dither.NONE) for picture in pictures]
    buffer = io.BytesIO()
    try:
        pictures[0].save(
            buffer,
            format_name,
            save_all=True,
            append_images=pictures[1:],
            duration=FRAME_MILLISECONDS,
            loop=0,
            **options,
            **text_options(format_name, text),
        )
    except (OSError, ValueError) as err:
        height, width = frames[0].shape[:2]
        raise InputError(f"{format_name} cannot hold an animation of {width}x{height} pixels ({err})") from err
    return buffer.getvalue()
