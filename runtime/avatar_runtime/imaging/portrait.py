"""How one avatar is shown: its size, whether it is cut to a circle, and the colour behind the circle."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from avatar_runtime.errors import InputError
from avatar_runtime.imaging.arrays import UInt8, to_pil

MAX_SIZE = 4096
"""The largest size in pixels, 32 times that of the embedded model."""


@dataclass(frozen=True)
class Portrait:
    """How an avatar is shown. Raises InputError for an impossible size or colour."""

    size: int | None = None
    """Height and width in pixels; None: those of the model."""
    circle: bool = False
    """Whether the avatar is cut to the largest circle, with a soft edge."""
    background: str | None = None
    """The colour behind the circle as in CSS ("white", "#fc0"); None: transparent."""

    def __post_init__(self) -> None:
        if self.size is not None and not (type(self.size) is int and 1 <= self.size <= MAX_SIZE):
            raise InputError(f"a portrait's size must be from 1 to {MAX_SIZE} pixels, not {self.size!r}")
        if self.background is not None:
            if not self.circle:
                raise InputError("a background lies behind a circle: ask for a circle, or leave the background out")
            _rgb(self.background)

    @property
    def transparent(self) -> bool:
        """Whether the portrait has an alpha channel."""
        return self.circle and self.background is None

    @property
    def empty(self) -> tuple[int, ...]:
        """The colour of empty cells in a grid: that behind the circles, or white."""
        if self.transparent:
            return (0, 0, 0, 0)
        return (255,) if self.background is None else _rgb(self.background)

    def side(self, image_size: int) -> int:
        """Height and width of the portrait of an image of image_size pixels."""
        return self.size or image_size

    def show(self, images: UInt8) -> UInt8:
        """Images [N, H, H, C] as portraits [N, S, S, C], uint8. C becomes 4 (RGBA) if transparent, 3 on a background.

        Another size than the images' is resampled by Lanczos.
        """
        if self.size is not None:
            images = _resized(images, self.size)
        if not self.circle:
            return images
        rgb = np.broadcast_to(images, (*images.shape[:3], 3))
        alpha = disc(images.shape[1])[None, :, :, None]
        if self.background is None:
            return np.concatenate([rgb, np.broadcast_to(alpha, (*rgb.shape[:3], 1))], axis=3)
        behind = np.array(_rgb(self.background), np.uint32)
        blended = (rgb * alpha.astype(np.uint32) + behind * (255 - alpha.astype(np.uint32)) + 127) // 255
        return blended.astype(np.uint8)


@lru_cache(maxsize=2)
def disc(side: int) -> UInt8:
    """How much of each pixel the largest circle covers: uint8 [side, side], 0 to 255.

    The coverage falls linearly over one pixel at the edge. Only +, -, * and sqrt are used, which IEEE 754 rounds
    correctly, so the circle is the same on every machine.
    """
    from_centre = np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
    distance = np.sqrt(from_centre[:, None] ** 2 + from_centre[None, :] ** 2)
    covered: npt.NDArray[np.float32] = np.clip(np.float32(side / 2 + 0.5) - distance, 0, 1)
    alpha = np.rint(covered * 255).astype(np.uint8)
    alpha.flags.writeable = False  # the cache gives the same array to all callers
    return alpha


def _resized(images: UInt8, size: int) -> UInt8:
    if size == images.shape[1]:
        return images
    from PIL import Image

    shown = [np.asarray(to_pil(image).resize((size, size), Image.Resampling.LANCZOS)) for image in images]
    return np.stack(shown).reshape(len(images), size, size, -1)


def _rgb(colour: str) -> tuple[int, int, int]:
    from PIL import ImageColor

    try:
        found = ImageColor.getrgb(colour)
        if len(found) != 3 or not all(0 <= level <= 255 for level in found):
            raise ValueError
    except (ValueError, AttributeError, TypeError) as err:
        raise InputError(
            f"{colour!r} is not a colour; write one such as white, rgb(255,204,0), #ffcc00 or #fc0, "
            "and in a shell put it in quotes"
        ) from err
    return found[0], found[1], found[2]
