"""DiffAugment: the same differentiable augmentation of real and generated images.

S. Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020; the policy "color,
translation, cutout" of its reference code, with translated borders replicated rather than black and a smaller cutout.
"""

import mindspore.numpy as mnp
from mindspore import Tensor, ops

DRAWS = 7
"""Random numbers per image."""

TRANSLATION = 1 / 8
"""Largest shift, as a fraction of the side."""
MIRRORED_TRANSLATION = 1 / 32
"""Largest shift sideways where mirror images are compared, which move the other way."""
CUTOUT = 0.35
"""Side of the square that is cut out, as a fraction of the side."""


def diff_augment(images: Tensor, uniform: Tensor, sideways: float = TRANSLATION) -> Tensor:
    """Augment each image, float32 [N, C, S, S] in [-1, 1], by its own random numbers, float32 [N, DRAWS] in [0, 1).

    Differentiable in images. sideways is the largest shift to either side, as a fraction of the side.
    """
    u = uniform.reshape((-1, DRAWS, 1, 1, 1))
    images = images + (u[:, 0] - 0.5)  # brightness
    grey = images.mean(axis=1, keep_dims=True)
    images = (images - grey) * (u[:, 1] * 2) + grey  # saturation
    mean = images.mean(axis=(1, 2, 3), keep_dims=True)
    images = (images - mean) * (u[:, 2] + 0.5) + mean  # contrast
    return _cut(_shift(images, uniform[:, 3:5], sideways), uniform[:, 5:7])


def _shift(images: Tensor, uniform: Tensor, sideways: float) -> Tensor:
    count, channels, side, _ = images.shape
    places = mnp.arange(side).astype("int32").reshape((1, side))
    rows = _shifted(places, uniform[:, 0:1], int(side * TRANSLATION + 0.5))
    columns = _shifted(places, uniform[:, 1:2], int(side * sideways + 0.5))
    row_index = ops.broadcast_to(rows.reshape((count, 1, side, 1)), (count, channels, side, side))
    column_index = ops.broadcast_to(columns.reshape((count, 1, 1, side)), (count, channels, side, side))
    return ops.gather_elements(ops.gather_elements(images, 2, row_index), 3, column_index)


def _shifted(places: Tensor, uniform: Tensor, reach: int) -> Tensor:
    """[1, S], [N, 1] -> [N, S]: places shifted by -reach to reach; clamping replicates the border."""
    offsets = (uniform * (2 * reach + 1)).astype("int32") - reach
    return ops.clamp(places + offsets, 0, places.shape[1] - 1)


def _cut(images: Tensor, uniform: Tensor) -> Tensor:
    side = images.shape[-1]
    size = int(side * CUTOUT + 0.5)
    corner = (uniform * (side + 1 - size % 2)).astype("int32") - size // 2  # [N, 2]
    places = mnp.arange(side).astype("int32").reshape((1, side))
    rows = ops.logical_and(places >= corner[:, 0:1], places < corner[:, 0:1] + size)  # [N, S]
    columns = ops.logical_and(places >= corner[:, 1:2], places < corner[:, 1:2] + size)
    inside = ops.logical_and(rows.reshape((-1, 1, side, 1)), columns.reshape((-1, 1, 1, side)))
    return images * (1 - inside.astype(images.dtype))
