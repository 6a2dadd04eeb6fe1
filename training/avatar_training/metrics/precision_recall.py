"""Precision and recall, density and coverage: how good generated faces are, and how much of the real variety they have.

T. Kynkäänniemi, T. Karras, S. Laine, J. Lehtinen, T. Aila, "Improved Precision and Recall Metric for Assessing
Generative Models", NeurIPS 2019, section 2: a set's manifold is the union of balls around its features, each as large
as the distance to the k-th nearest other. M. F. Naeem, S. J. Oh, Y. Uh, Y. Choi, J. Yoo, "Reliable Fidelity and
Diversity Metrics for Generative Models", ICML 2020, section 3: the same, counted so that outliers weigh less.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.neighbors import NearestNeighbors

from avatar_training.metrics.features import Features, FeaturesError

PRECISION_RECALL_K = 3
"""Which nearest neighbour gives a ball its radius, in the first paper."""

DENSITY_COVERAGE_K = 5
"""The same in the second paper."""

_ROWS = 1024

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PrecisionRecall:
    """Four numbers on two sets of features; all but density are between 0 and 1, and more is better."""

    precision: float
    """The share of generated faces that lie in the real ones' manifold."""
    recall: float
    """The share of real faces that lie in the generated ones' manifold."""
    density: float
    """How many balls of real faces a generated one lies in, over k: about 1 if the sets are alike; it may be more."""
    coverage: float
    """The share of real faces with a generated one nearer than their k-th real neighbour."""


def precision_recall(real: Features, generated: Features) -> PrecisionRecall:
    """Compare two sets of features, float32 [N, D] and [M, D].

    The numbers depend on N and M: compare only values of the same N and M. Raises FeaturesError if a set has
    fewer than six.
    """
    if min(len(real), len(generated)) <= DENSITY_COVERAGE_K:
        raise FeaturesError(
            f"precision and recall need at least {DENSITY_COVERAGE_K + 1} real and generated images, not {len(real)} "
            f"and {len(generated)}"
        )
    real_radius, real_wide = (_radii(real, k) for k in (PRECISION_RECALL_K, DENSITY_COVERAGE_K))
    generated_radius = _radii(generated, PRECISION_RECALL_K)
    in_real = in_balls = 0
    recalled, nearest = np.zeros(len(real), bool), np.full(len(real), np.inf)
    for start in range(0, len(generated), _ROWS):
        rows = generated[start : start + _ROWS].astype(np.float64)
        squares = euclidean_distances(rows, real.astype(np.float64), squared=True)  # [rows, N]
        in_real += int((squares <= real_radius).any(axis=1).sum())
        in_balls += int((squares <= real_wide).sum())
        recalled |= (squares <= generated_radius[start : start + _ROWS, None]).any(axis=0)
        nearest = np.minimum(nearest, squares.min(axis=0))
    return PrecisionRecall(
        precision=in_real / len(generated),
        recall=float(recalled.mean()),
        density=in_balls / (DENSITY_COVERAGE_K * len(generated)),
        coverage=float((nearest <= real_wide).mean()),
    )


def _radii(features: Features, k: int) -> Floats:
    """The squared distance of each feature to its k-th nearest other."""
    neighbours = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(features.astype(np.float64))
    return np.asarray(neighbours.kneighbors()[0][:, -1] ** 2)
