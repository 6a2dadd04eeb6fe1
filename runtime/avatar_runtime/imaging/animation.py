"""Encode frames as an animation that plays there and back in a loop: a GIF, a WebP or an animated PNG."""

import io
from collections.abc import Callable, Iterable, Mapping
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
"""How long a frame is shown. A GIF counts in hundredths of a second."""


def check_animation(extension: str) -> None:
    """Raise InputError unless extension names a format that holds animations."""
    if extension.lower() not in FORMATS:
        what = repr(extension) if extension else "a name without extension"
        raise InputError(f"{what} holds no animation; use one of {', '.join(FORMATS)}")


def encode_animation(
    frames: UInt8,
    extension: str,
    text: Mapping[str, Any] | None = None,
    watch: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> bytes:
    """Encode frames so that they play there and back, 2 * N - 2 in all.

    Args:
        frames: uint8 [N, H, W, C], N at least 2.
        extension: .gif (256 colours per frame, no soft transparency), .webp (lossless) or .png.
        text: What the animation shows; it is stored as `encoding.text_options` says.
        watch: Passes the frames of a GIF through as their colours are chosen, which takes most of the time. Pillow
            writes the other formats at one go.

    Returns:
        The bytes of the file.

    Raises:
        InputError: The extension is another one, or the frames are larger than the format can hold.
    """
    check_animation(extension)
    format_name, options = FORMATS[extension.lower()]
    there = [to_pil(frame) for frame in frames]
    if format_name == "GIF":
        there = [picture.convert("RGB").quantize(dither=Image.Dither.NONE) for picture in watch(there)]
    pictures = [*there, *there[-2:0:-1]]
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
