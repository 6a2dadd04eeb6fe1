"""From one latent vector to another along the great circle between them, bit for bit the same everywhere.

Latents of a normal distribution lie near a sphere: a straight line leaves it and its middle is a face nearer to the
average one. The great circle stays: T. White, "Sampling Generative Networks", 2016 (arXiv:1609.04468), section 2.1,

    slerp(a, b, t) = sin((1 - t) w) / sin(w) a + sin(t w) / sin(w) b,   w the angle between a and b.

The library `sin` and `acos` differ in their last bit between CPUs, NumPy builds and languages. So the angle is never
taken: the arc is halved as often as the precision needs, and the middle of an arc is the sum of its ends over twice the
cosine of half its angle, which needs +, *, / and sqrt alone. These IEEE 754 rounds correctly.
"""

import math
from collections.abc import Sequence
from numbers import Real

import numpy as np
import numpy.typing as npt

from avatar_runtime.errors import InputError

_HALVINGS = 20
"""The arc left is at most pi / 2^20 long, and flat to 1e-12 of its length: a float32 cannot see it."""


def slerp(
    a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], positions: Sequence[float]
) -> npt.NDArray[np.float32]:
    """The latents at positions between a and b, both float32 [latent_dim]: float32 [len(positions), latent_dim].

    Position 0 is exactly a and 1 exactly b. Where a and b are opposite no great circle is the shortest, and the line
    between them is taken. Raises InputError unless every position is a number from 0 to 1.
    """
    for position in positions:
        if not (isinstance(position, Real) and 0 <= position <= 1):
            raise InputError(f"a position between two faces must be a number from 0 to 1, not {position!r}")
    one, other = a.astype(np.float64), b.astype(np.float64)
    cosine = _dot(one, other) / math.sqrt(_dot(one, one) * _dot(other, other) or 1.0)
    weights = np.array([_weights(cosine, float(position)) for position in positions]).reshape(-1, 2, 1)
    return (weights[:, 0] * one + weights[:, 1] * other).astype(np.float32)


def _weights(cosine: float, t: float) -> tuple[float, float]:
    """How much of a and how much of b is in the latent at t, where cosine is that of the angle between them."""
    start, end = (1.0, 0.0), (0.0, 1.0)
    for _ in range(_HALVINGS):
        cosine = math.sqrt(max(0.0, 1 + cosine) / 2)  # of half the angle
        if cosine < 1e-6:
            break
        middle = ((start[0] + end[0]) / (2 * cosine), (start[1] + end[1]) / (2 * cosine))
        if t < 0.5:
            end, t = middle, 2 * t
        else:
            start, t = middle, 2 * t - 1
    return (1 - t) * start[0] + t * end[0], (1 - t) * start[1] + t * end[1]


def _dot(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """The products, each exact in double precision, added from the first to the last: NumPy's own order varies."""
    return float(np.add.accumulate(a * b)[-1])
