"""Bilinear resizing as two matrix products, through which gradients flow: of rows, and of columns."""

import numpy as np
from mindspore import Tensor, nn, ops


class Resize(nn.Cell):
    """The matrices that resize a row or column of `size` pixels to `wanted`, shifted and mirrored.

    Bilinear with half-pixel centres, borders replicated; antialiased where images get smaller.
    """

    def __init__(self, size: int, wanted: int) -> None:
        super().__init__()
        self.last, self.support = size - 1, max(1.0, size / wanted)
        self.places = Tensor(((np.arange(wanted) + 0.5) * size / wanted - 0.5).astype(np.float32))
        self.pixels = Tensor(np.arange(size, dtype=np.float32))

    def construct(self, offsets: Tensor, mirrored: Tensor) -> Tensor:
        """Offsets in pixels and 1 for mirrored or 0, [N] each -> float32 [N, wanted, size]."""
        places = self.places + ops.expand_dims(offsets, 1)
        turned = ops.expand_dims(mirrored, 1)
        places = ops.clamp(places * (1 - turned) + (self.last - places) * turned, 0, self.last)
        weights = ops.relu(1 - ops.abs(ops.expand_dims(places, 2) - self.pixels) / self.support)
        return weights / weights.sum(axis=2, keepdims=True)
