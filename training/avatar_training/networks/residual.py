"""The residual blocks that the refined generator adds to the tutorial's. They change nothing at first.

So a trained tutorial generator starts out as it was and goes on learning. K. He et al., "Deep Residual Learning for
Image Recognition", CVPR 2016, for blocks; P. Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 5.1, for
the last batch norm that begins at zero.
"""

from collections.abc import Callable

from mindspore import Tensor, nn
from mindspore.common.initializer import Normal

from avatar_training.networks import channels_last as cl

BLOCKS = (1, 1, 1, 1)
"""Residual blocks after the first hidden layers: at 4x4, 8x8, 16x16 and 32x32 pixels."""

BOTTLENECK = 4
"""How many times narrower a block is inside."""


class ResidualBlock(nn.Cell):
    """x to x + norm(1x1(relu(norm(3x3(x))))). With no ReLU after it, an export can fold the sum into the next layer."""

    def __init__(self, width: int, norm: Callable[..., nn.Cell], channels_last: bool,
                 relu: Callable[[], nn.Cell] = nn.ReLU) -> None:  # fmt: skip
        super().__init__()
        conv, inside = cl.Conv2dSame if channels_last else nn.Conv2d, max(width // BOTTLENECK, 1)
        self.conv1 = conv(width, inside, 3, 1, "pad", 1, weight_init=Normal(0.02))
        self.norm1 = norm(inside)
        self.relu = relu()
        self.conv2 = conv(inside, width, 1, 1, "pad", 0, weight_init=Normal(0.02))
        self.norm2 = norm(width, gamma_init="zeros")

    def construct(self, x: Tensor) -> Tensor:
        """The shape stays."""
        return x + self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
