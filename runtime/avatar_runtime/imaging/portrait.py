"""A portrait: how one avatar is shown. Its size, whether it is cut to a circle, and what lies behind."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from avatar_runtime.errors import InputError
from avatar_runtime.imaging.arrays import UInt8, to_pil

MAX_SIZE = 4096
"""The largest portrait in pixels: 64 times what the embedded model draws."""


@dataclass(frozen=True)
class Portrait:
    """How an avatar is shown. Raises InputError for a size or colour that cannot be."""

    size: int | None = None
    """Height and width in pixels; None: as the model draws it."""
    circle: bool = False
    """Cut to the largest circle, with a soft edge."""
    background: str | None = None
    """What lies behind the circle, a colour as CSS writes it ("white", "#fc0"); None: nothing, it is transparent."""

    def __post_init__(self) -> None:
        if self.size is not None and not (type(self.size) is int and 1 <= self.size <= MAX_SIZE):
            raise InputError(f"a portrait's size must be from 1 to {MAX_SIZE} pixels, not {self.size!r}")
        if self.background is not None:
            if not self.circle:
                raise InputError("a background lies behind a circle, and a square picture leaves no room for one")
            _rgb(self.background)

    @property
    def transparent(self) -> bool:
        """Whether the portrait has an alpha channel."""
        return self.circle and self.background is None

    @property
    def empty(self) -> tuple[int, ...]:
        """The colour of a grid's cell that holds no portrait: white, unless a circle has left another one around."""
        if self.transparent:
            return (0, 0, 0, 0)
        return (255,) if self.background is None else _rgb(self.background)

    def side(self, image_size: int) -> int:
        """Height and width of the portrait of an image of image_size pixels."""
        return self.size or image_size

    def show(self, images: UInt8) -> UInt8:
        """Images [N, H, H, C] as portraits [N, S, S, C]; C becomes 4 (RGBA) if transparent, 3 on a background.

        Whole multiples repeat pixels; any other size is resampled by Lanczos.
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

    The share is taken as linear in the distance from the edge, over one pixel. Only +, -, * and sqrt are used, which
    IEEE 754 rounds correctly: the same circle everywhere.
    """
    from_centre = np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
    distance = np.sqrt(from_centre[:, None] ** 2 + from_centre[None, :] ** 2)
    covered: npt.NDArray[np.float32] = np.clip(np.float32(side / 2 + 0.5) - distance, 0, 1)
    alpha = np.rint(covered * 255).astype(np.uint8)
    alpha.flags.writeable = False  # it is shared by all that ask again
    return alpha


def _resized(images: UInt8, size: int) -> UInt8:
    times, rest = divmod(size, images.shape[1])
    if rest == 0:
        return images if times == 1 else images.repeat(times, 1).repeat(times, 2)
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
        raise InputError(f"{colour!r} is no colour; write one such as white, #fc0, #ffcc00 or rgb(255,204,0)") from err
    return found[0], found[1], found[2]
