"""Convert and arrange arrays of pixels.

An image is uint8 [H, W, C], RGB or grey, 0 black and 255 white; images are uint8 [N, H, W, C].
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from avatar_runtime.errors import InputError

if TYPE_CHECKING:  # 8 ms, which a PNG does not need
    from PIL import Image

UInt8 = npt.NDArray[np.uint8]

MAX_GRID_SIDE = 16_384
"""The longest side of a grid in pixels that browsers and phones can open."""


def from_network(output: npt.NDArray[np.float32], pixel_range: tuple[float, float]) -> UInt8:
    """Convert a network's output to images.

    Args:
        output: float32 [N, C, H, W].
        pixel_range: The values of black and white. Values outside are clipped.

    Returns:
        uint8 [N, H, W, C]. Halves round to even, as in ONNX's Round.
    """
    low, high = pixel_range
    scale = np.float32(255 / (high - low))
    levels = np.rint((output - np.float32(low)) * scale)
    return np.ascontiguousarray(np.clip(levels, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1))


def to_pil(image: UInt8) -> "Image.Image":
    """One image, uint8 [H, W, C], as a PIL image of mode L, RGB or RGBA."""
    from PIL import Image

    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def grid(images: UInt8, columns: int | None = None, scale: int = 1, empty: Sequence[int] = (255,)) -> UInt8:
    """Arrange images row by row, without gaps.

    Args:
        images: uint8 [N, H, W, C], at least one.
        columns: At least 1; by default those of the smallest square that holds all images.
        scale: How often each pixel is repeated in both directions, at least 1.
        empty: The colour of cells without an image.

    Returns:
        uint8 [rows * H * scale, columns * W * scale, C].

    Raises:
        InputError: An argument cannot be used, or a side would be longer than MAX_GRID_SIDE.
    """
    count, height, width, channels = images.shape
    rows, columns = grid_shape(count, columns, scale, max(height, width))
    if count == scale == 1 == columns:
        image: UInt8 = images[0]  # a copy would take 6% of the time that a PNG of 64 pixels takes
        return image
    cells = np.full((rows * columns, height, width, channels), empty, np.uint8)
    cells[:count] = images
    sheet = cells.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    sheet = sheet.reshape(rows * height, columns * width, channels)
    return sheet if scale == 1 else sheet.repeat(scale, 0).repeat(scale, 1)


def grid_shape(count: int, columns: int | None, scale: int, image_size: int) -> tuple[int, int]:
    """Rows and columns of a grid of count square images. Raises InputError as `grid` does."""
    if columns is None:
        columns = math.isqrt(max(count, 1) - 1) + 1
    if count < 1 or columns < 1 or scale < 1:
        raise InputError(
            f"a grid needs at least 1 image, column and scale, not {count} images, {columns} columns, scale {scale}"
        )
    columns = min(columns, count)
    rows = -(-count // columns)
    side = max(rows, columns) * image_size * scale
    if side > MAX_GRID_SIDE:
        raise InputError(
            f"a grid of {rows} rows and {columns} columns of {image_size * scale} pixels each would be {side} pixels "
            f"long, more than {MAX_GRID_SIDE}; draw fewer or smaller, set columns, or write single files"
        )
    return rows, columns
