"""Has training diverged? Losses are asked at each step; weights, and how different the previews are, at each tick."""

import math
from collections.abc import Iterable

import numpy as np
from mindspore import Parameter

from avatar_runtime.imaging.arrays import UInt8
from avatar_training.errors import Diverged

WARM_UP = 1000
"""Steps before which previews may all look alike, as a fresh generator's do."""

COLLAPSED = 0.1
"""A generator has collapsed when its previews differ by less than this part of what training images differ by.

Measured on faces, which differ by 65 levels: a healthy run of the recipe edge has 0.004 at step 0, 0.09 at step 100,
0.60 at step 1,000 and more from there to step 12,000; one with 250 times its learning rate, 0.06 at step 250.
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
    """Raise Diverged if the generator draws one image whatever the latent; both are levels, as `diversity` has them."""
    if step >= WARM_UP and previews < COLLAPSED * real:
        raise Diverged(
            f"the generator has collapsed at step {step}: its previews differ by {previews:.1f} levels, "
            f"training images by {real:.1f}"
        )


def diversity(images: UInt8) -> float:
    """How different images uint8 [N, H, W, C] are: the standard deviation of a pixel over them, averaged; in levels.

    0 for one image repeated, whatever is on it.
    """
    return float(images.std(axis=0).mean())
