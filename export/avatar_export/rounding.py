"""Weights become integers so that what a layer gives changes least, not so that each weight does."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DAMPING = 0.01
"""Added to the variances, as a share of their mean: what never varies may still be divided by."""

Float64 = npt.NDArray[np.float64]


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


def compensated(weight: Float64, moments: Moments, limit: int) -> Float64:
    """Weights [outputs, K], given in steps, as integers from -limit to limit.

    One after the other is rounded, the one whose input varies most first, and those not yet rounded make up for its
    error as far as their inputs vary together: E. Frantar et al., "GPTQ: Accurate Post-Training Quantization for
    Generative Pre-trained Transformers", ICLR 2023, section 3. The mean of the error is left: a bias can take it.
    """
    variance = np.diag(moments.covariance)
    order = np.argsort(-variance, kind="stable")
    damped = moments.covariance[np.ix_(order, order)] + np.eye(len(order)) * (DAMPING * variance.mean() or 1.0)
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T  # [K, K], upper triangular
    left = weight[:, order]
    for i, row in enumerate(factor):
        exact = left[:, i].copy()
        left[:, i] = nearest(exact, limit)
        left[:, i + 1 :] -= np.outer((exact - left[:, i]) / row[i], row[i + 1 :])
    return left[:, np.argsort(order)]
