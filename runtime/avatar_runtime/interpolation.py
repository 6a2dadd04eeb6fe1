"""Interpolate between two latent vectors along the great circle, with the same bits on every machine.

Normally distributed latents lie near a sphere. A straight line leaves the sphere, and its middle is closer to the
average face; the great circle stays on it: T. White, "Sampling Generative Networks", 2016 (arXiv:1609.04468), section
2.1,

    slerp(a, b, t) = sin((1 - t) w) / sin(w) a + sin(t w) / sin(w) b,   w the angle between a and b.

The library's `sin` and `acos` differ in their last bit between CPUs, NumPy builds and languages. So no angle is
computed: the arc is halved as often as the precision needs, and the middle of an arc is the sum of its ends over twice
the cosine of half its angle. That needs only +, *, / and sqrt, which IEEE 754 rounds correctly.
"""

import math
from collections.abc import Sequence
from numbers import Real

import numpy as np
import numpy.typing as npt

from avatar_runtime.errors import InputError

_HALVINGS = 20
"""The remaining arc is at most pi / 2^20 long and flat to 1e-12 of its length, less than float32 resolves."""


def slerp(
    a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], positions: Sequence[float]
) -> npt.NDArray[np.float32]:
    """Interpolate between two latents.

    Args:
        a: float32 [latent_dim], exactly the latent at position 0.
        b: float32 [latent_dim], exactly the latent at position 1.
        positions: Numbers from 0 to 1.

    Returns:
        float32 [len(positions), latent_dim]. If a and b are opposite, no great circle is the shortest, and the straight
        line is used.

    Raises:
        InputError: A position is not a number from 0 to 1.
    """
    for position in positions:
        if not (isinstance(position, Real) and 0 <= position <= 1):
            raise InputError(f"a position between two faces must be a number from 0 to 1, not {position!r}")
    start, end = a.astype(np.float64), b.astype(np.float64)
    cosine = _dot(start, end) / math.sqrt(_dot(start, start) * _dot(end, end) or 1.0)
    weights = np.array([_weights(cosine, float(position)) for position in positions]).reshape(-1, 2, 1)
    return (weights[:, 0] * start + weights[:, 1] * end).astype(np.float32)


def _weights(cosine: float, t: float) -> tuple[float, float]:
    """The weights of a and b in the latent at t, from the cosine of the angle between them."""
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
    """The dot product, added from first to last: the order of NumPy's own sum varies."""
    return float(np.add.accumulate(a * b)[-1])
