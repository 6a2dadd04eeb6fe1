"""Weights become integers so that what a layer gives changes least, not so that each weight does."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DAMPING = 0.01
"""Added to the variances, as a share of their mean: what never varies may still be divided by."""
PAIR_LIMIT = 128
"""What two weights of a pair may add up to, if their sign is the same."""

Float64 = npt.NDArray[np.float64]
NO_PAIRS = np.zeros((0, 2), np.int64)


@dataclass(frozen=True)
class Moments:
    """What goes into the products of a layer: K numbers for each place of its output."""

    mean: Float64
    """[K]"""
    covariance: Float64
    """[K, K]"""


def nearest(weight: Float64, limit: int) -> Float64:
    """Each weight, given in steps, rounded by itself to an integer from -limit to limit."""
    return np.rint(weight).clip(-limit, limit)


def pair_sums(weight: Float64, pairs: npt.NDArray[np.int64]) -> Float64:
    """What the weights of each pair add up to, without regard to sign; 0 where their signs differ.

    weight is [outputs, K], pairs [P, 2] of places in K; the sums are [outputs, P].
    """
    first, second = weight[:, pairs[:, 0]], weight[:, pairs[:, 1]]
    return np.where(first * second > 0, np.abs(first + second), 0)


def compensated(weight: Float64, moments: Moments, limit: int, pairs: npt.NDArray[np.int64] = NO_PAIRS) -> Float64:
    """Weights [outputs, K], given in steps, as integers from -limit to limit, those of a pair within PAIR_LIMIT.

    One after the other is rounded, the one whose input varies most first, and those not yet rounded make up for its
    error as far as their inputs vary together: E. Frantar et al., "GPTQ: Accurate Post-Training Quantization for
    Generative Pre-trained Transformers", ICLR 2023, section 3. The mean of the error is left: a bias can take it.
    """
    variance = np.diag(moments.covariance)
    order = np.argsort(-variance, kind="stable")
    damped = moments.covariance[np.ix_(order, order)] + np.eye(len(order)) * (DAMPING * variance.mean() or 1.0)
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T  # [K, K], upper triangular
    places = np.argsort(order)
    partners: list[list[int]] = [[] for _ in order]  # for each place those of its pairs that are rounded before it
    for first, second in np.sort(places[pairs]):
        partners[second].append(first)
    left = weight[:, order]
    for i, row in enumerate(factor):
        exact, taken = left[:, i].copy(), left[:, partners[i]]
        low = np.maximum(-limit, -PAIR_LIMIT - taken.min(axis=1, initial=0))
        high = np.minimum(limit, PAIR_LIMIT - taken.max(axis=1, initial=0))
        left[:, i] = np.rint(exact).clip(low, high)
        left[:, i + 1 :] -= np.outer((exact - left[:, i]) / row[i], row[i + 1 :])
    return left[:, places]
