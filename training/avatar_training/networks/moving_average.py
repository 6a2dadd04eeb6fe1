"""The moving average of the generator's weights, which draws better faces than the weights of any single step.

Y. Yazıcı et al., "The Unusual Effectiveness of Averaging in GAN Training", ICLR 2019.
"""

from collections.abc import Sequence

import numpy as np
from mindspore import Parameter, Tensor, ops

Pairs = Sequence[tuple[Parameter, Parameter]]
"""Each parameter of the average, with the generator's of which it is the mean."""


def decay_at(ema_decay: float, step: int) -> np.float32:
    """The share of the average that a step keeps: ema_decay, but a smaller one at first."""
    return np.float32(min(ema_decay, (1 + step) / (10 + step)))


def follow(pairs: Pairs, decay: Tensor) -> None:
    """Move the average towards the generator. Compiled into the training step."""
    for mean, weight in pairs:
        ops.assign(mean, mean * decay + weight * (1 - decay))


def reset(pairs: Pairs) -> None:
    """Set the average to the generator as it is now."""
    for mean, weight in pairs:
        mean.set_data(Tensor(weight.asnumpy().copy()))  # set_data(weight) would share its memory
