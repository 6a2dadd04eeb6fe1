"""Every random number of training, as a function of (seed, purpose, step) alone.

Philox is a counter-based generator (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011): the
numbers of step k are computed, not remembered, so a resumed run has no random state to restore. Only raw words are
taken from NumPy; those never change between its versions, while the streams of its distributions may.
"""

import numpy as np
import numpy.typing as npt

from avatar_runtime.latents import standard_normal

LATENTS, ORDER, FLIPS, AUGMENT_REAL, AUGMENT_FAKE, WEIGHTS, RESEED, TRUNCATIONS, REWARD = range(9)
"""What numbers are for; each purpose has a stream of its own."""


def words(seed: int, purpose: int, step: int, count: int) -> npt.NDArray[np.uint32]:
    """Uniform words: uint32 [count]."""
    generator = np.random.Philox(key=[seed, purpose], counter=[0, 0, step, 0])
    raw = np.asarray(generator.random_raw(-(-count // 2)), dtype="<u8")
    return raw.view("<u4")[:count]


def reseeded(seed: int, times: int) -> int:
    """The seed itself for 0 times, then others that it decides: what a run goes on with after it was rolled back."""
    return int(words(seed, RESEED, times, 2).view("<u8")[0]) if times else seed


def latents(
    seed: int, step: int, batch_size: int, latent_dim: int, min_truncation: float = 1.0
) -> npt.NDArray[np.float32]:
    """The latent vectors of a step: float32 [batch_size, latent_dim].

    Standard normal, each scaled by a truncation of its own, uniform in [min_truncation, 1].
    """
    drawn = words(seed, LATENTS, step, batch_size * latent_dim)
    shortened = np.float32(1 - min_truncation) * uniform(seed, TRUNCATIONS, step, (batch_size, 1))
    return standard_normal(drawn).reshape(batch_size, latent_dim) * (np.float32(1) - shortened)


def uniform(seed: int, purpose: int, step: int, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Numbers of [0, 1): float32 of the shape."""
    top = words(seed, purpose, step, int(np.prod(shape))) >> np.uint32(8)  # 24 bits: what float32 holds exactly
    return (top.astype(np.float32) * np.float32(2.0**-24)).reshape(shape)


def order(seed: int, epoch: int, size: int) -> npt.NDArray[np.int64]:
    """The order in which an epoch visits the images: int64 [size], a permutation."""
    return np.argsort(words(seed, ORDER, epoch, 2 * size).view("<u8"), kind="stable")
