"""Detect divergence: losses at each step; weights, and how much the previews differ, at each snapshot."""

import math
from collections.abc import Iterable

import numpy as np
from mindspore import Parameter

from avatar_runtime.imaging.arrays import UInt8
from avatar_training.errors import Diverged

WARM_UP = 1000
"""Number of first steps in which all previews may look alike, as those of an untrained generator do."""

COLLAPSED = 0.1
"""A generator has collapsed when the diversity of its previews is below this fraction of the training images'.

Measured on faces, whose diversity is 65 levels: a healthy run of the recipe edge has 0.004 of it at step 0, 0.09 at
step 100, and 0.60 or more from step 1,000 to 12,000; with 250 times its learning rate it has 0.06 at step 250.
"""


def check_losses(step: int, g_loss: float, d_loss: float) -> None:
    """Raise Diverged if a loss is NaN or infinite."""
    if not (math.isfinite(g_loss) and math.isfinite(d_loss)):
        raise Diverged(f"the loss is no longer finite at step {step} (G {g_loss}, D {d_loss})")


def check_weights(step: int, parameters: Iterable[Parameter]) -> None:
    """Raise Diverged if a parameter holds NaN or infinity."""
    for parameter in parameters:
        if not np.isfinite(parameter.asnumpy()).all():
            raise Diverged(f"{parameter.name} is no longer finite at step {step}")


def check_diversity(step: int, previews: float, real: float) -> None:
    """Raise Diverged if the generator draws nearly the same image for every latent. Both diversities are in levels."""
    if step >= WARM_UP and previews < COLLAPSED * real:
        raise Diverged(
            f"the generator has collapsed at step {step}: its previews differ by {previews:.1f} levels, "
            f"training images by {real:.1f}"
        )


def diversity(images: UInt8) -> float:
    """How much images uint8 [N, H, W, C] differ: the standard deviation over N of each value, averaged, in levels.

    It is 0 for copies of one image.
    """
    return float(images.std(axis=0).mean())
