"""Rounds weights to integers so that the layer's output changes least, rather than each weight by itself."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DAMPING = 0.01
"""Added to the variances, as a share of their mean, so that an input that never varies does not divide by 0."""
MAX_COMPENSATED = 3200
"""Inputs of the largest layer that is rounded with compensation, whose time grows with their cube."""
PAIR_LIMIT = 128
"""The largest sum of the two weights of a pair, if they have the same sign."""

Float64 = npt.NDArray[np.float64]
NO_PAIRS = np.zeros((0, 2), np.int64)


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of a layer's inputs: the K numbers that each place of its output is computed from."""

    mean: Float64
    """[K]"""
    covariance: Float64 | None
    """[K, K]; None if K is more than MAX_COMPENSATED"""


def round_to_nearest(weight: Float64, limit: int) -> Float64:
    """Each weight, in steps, rounded by itself to an integer from -limit to limit."""
    return np.rint(weight).clip(-limit, limit)


def pair_sums(weight: Float64, pairs: npt.NDArray[np.int64]) -> Float64:
    """The absolute sum of the weights of each pair; 0 if their signs differ.

    weight is [outputs, K], pairs [P, 2] are places in K; the sums are [outputs, P].
    """
    first, second = weight[:, pairs[:, 0]], weight[:, pairs[:, 1]]
    return np.where(first * second > 0, np.abs(first + second), 0)


def round_with_compensation(
    weight: Float64, covariance: Float64, limit: int, pairs: npt.NDArray[np.int64] = NO_PAIRS
) -> Float64:
    """Round weights one after another; those not yet rounded make up for the error so far.

    E. Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", ICLR 2023,
    section 3. The weight whose input varies most comes first. The mean of the error stays: a bias can take it.

    Args:
        weight: [outputs, K], in steps.
        covariance: Of the layer's inputs, [K, K].
        limit: The integers are from -limit to limit.
        pairs: [P, 2] places in K whose weights are held within PAIR_LIMIT.

    Returns:
        The integers, [outputs, K].
    """
    variance = np.diag(covariance)
    order = np.argsort(-variance, kind="stable")
    damped = covariance[np.ix_(order, order)] + np.eye(len(order)) * (DAMPING * variance.mean() or 1.0)
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T  # [K, K], upper triangular
    places = np.argsort(order)
    partners: list[list[int]] = [[] for _ in order]  # for each place, its partners that are rounded before it
    for first, second in np.sort(places[pairs]):
        partners[second].append(first)
    rounded = weight[:, order]
    for i, row in enumerate(factor):
        exact, neighbours = rounded[:, i].copy(), rounded[:, partners[i]]
        low = np.maximum(-limit, -PAIR_LIMIT - neighbours.min(axis=1, initial=0))
        high = np.minimum(limit, PAIR_LIMIT - neighbours.max(axis=1, initial=0))
        rounded[:, i] = np.rint(exact).clip(low, high)
        rounded[:, i + 1 :] -= np.outer((exact - rounded[:, i]) / row[i], row[i + 1 :])
    return rounded[:, places]
