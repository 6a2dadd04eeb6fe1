"""Every random number of training, computed from (seed, purpose, step) alone.

Philox is a counter-based generator (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011): the
numbers of a step do not depend on earlier ones, so a resumed run has no random state to restore. Only raw words come
from NumPy: they never change between its versions, while its distributions may.
"""

import numpy as np
import numpy.typing as npt

from avatar_runtime.latents import standard_normal

LATENTS, ORDER, FLIPS, AUGMENT_REAL, AUGMENT_FAKE, WEIGHTS, RESEED, TRUNCATIONS, REWARD, GROWTH = range(10)
"""Purposes; each has its own stream."""


def words(seed: int, purpose: int, step: int, count: int) -> npt.NDArray[np.uint32]:
    """Uniform random words: uint32 [count]."""
    generator = np.random.Philox(key=[seed, purpose], counter=[0, 0, step, 0])
    raw = np.asarray(generator.random_raw(-(-count // 2)), dtype="<u8")
    return raw.view("<u4")[:count]


def reseeded(seed: int, times: int) -> int:
    """The seed of a run after this many rollbacks: the seed itself for 0, then others derived from it."""
    return int(words(seed, RESEED, times, 2).view("<u8")[0]) if times else seed


def latents(
    seed: int, step: int, batch_size: int, latent_dim: int, min_truncation: float = 1.0
) -> npt.NDArray[np.float32]:
    """The latent vectors of a step: float32 [batch_size, latent_dim].

    Standard normal, each scaled by its own random factor, uniform in [min_truncation, 1].
    """
    normal = standard_normal(words(seed, LATENTS, step, batch_size * latent_dim)).reshape(batch_size, latent_dim)
    reduction = np.float32(1 - min_truncation) * uniform(seed, TRUNCATIONS, step, (batch_size, 1))
    return normal * (np.float32(1) - reduction)


def uniform(seed: int, purpose: int, step: int, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Uniform random numbers in [0, 1): float32 of this shape."""
    top = words(seed, purpose, step, int(np.prod(shape))) >> np.uint32(8)  # 24 bits, which float32 holds exactly
    return (top.astype(np.float32) * np.float32(2.0**-24)).reshape(shape)


def order(seed: int, epoch: int, size: int) -> npt.NDArray[np.int64]:
    """The order of the images in an epoch: int64 [size], a permutation."""
    return np.argsort(words(seed, ORDER, epoch, 2 * size).view("<u8"), kind="stable")
