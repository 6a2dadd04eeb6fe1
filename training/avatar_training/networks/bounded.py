"""A ReLU that gives no more than 1, for generators whose int8 exports should be exact: see `enlarging.bounding`.

A. Krizhevsky, "Convolutional Deep Belief Networks on CIFAR-10", 2010, bounds ReLUs at 6; A. Howard et al.,
"MobileNets", 2017, use that for its robustness in low precision.
"""

from mindspore import Tensor, nn, ops

BOUND = 1.0
"""The largest output; bounding scales the channels of a trained generator to it."""


class BoundedReLU(nn.Cell):
    """min(max(x, 0), 1). The gradient is 0 where x is below 0 or above 1."""

    def construct(self, x: Tensor) -> Tensor:
        """The shape stays."""
        return ops.clamp(x, 0.0, BOUND)
