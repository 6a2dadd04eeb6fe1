"""Precision, recall, density and coverage."""

from typing import Any

import numpy as np
import pytest

from avatar_training.metrics.features import FeaturesError
from avatar_training.metrics.precision_recall import precision_recall


def points(seed: int, count: int, shift: float = 0.0, scale: float = 1.0) -> Any:
    return np.random.default_rng(seed).normal(shift, scale, (count, 4)).astype(np.float32)


def by_definition(real: Any, generated: Any) -> tuple[float, float, float, float]:
    """The papers' equations, one pair at a time."""

    def distance(a: Any, b: Any) -> float:
        return float(np.linalg.norm(a.astype(np.float64) - b))

    def radius(points: Any, i: int, k: int) -> float:
        return sorted(distance(points[i], points[j]) for j in range(len(points)) if j != i)[k - 1]

    n, m = len(real), len(generated)
    r3, r5 = ([radius(real, i, k) for i in range(n)] for k in (3, 5))
    g3 = [radius(generated, j, 3) for j in range(m)]
    d = [[distance(real[i], generated[j]) for j in range(m)] for i in range(n)]
    precision = sum(any(d[i][j] <= r3[i] for i in range(n)) for j in range(m)) / m
    recall = sum(any(d[i][j] <= g3[j] for j in range(m)) for i in range(n)) / n
    density = sum(d[i][j] <= r5[i] for i in range(n) for j in range(m)) / (5 * m)
    coverage = sum(any(d[i][j] <= r5[i] for j in range(m)) for i in range(n)) / n
    return precision, recall, density, coverage


def test_the_four_numbers_are_the_papers() -> None:
    real, generated = points(0, 40), points(1, 30, 0.5, 0.7)
    found = precision_recall(real, generated)
    expected = by_definition(real, generated)
    assert (found.precision, found.recall, found.density, found.coverage) == pytest.approx(expected, abs=1e-12)


def test_more_than_one_chunk_gives_the_same_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    real, generated = points(0, 100), points(1, 90, 0.3)
    whole = precision_recall(real, generated)
    monkeypatch.setattr("avatar_training.metrics.precision_recall._ROWS", 17)
    assert precision_recall(real, generated) == whole


def test_a_set_that_lacks_variety_loses_recall_and_one_that_errs_loses_precision() -> None:
    real = points(0, 500)
    same, narrow, wide = (precision_recall(real, points(1, 500, scale=scale)) for scale in (1, 0.3, 3))
    assert narrow.recall < 0.5 * same.recall
    assert narrow.coverage < 0.5 * same.coverage
    assert narrow.precision > same.precision
    assert wide.precision < 0.5 * same.precision
    assert wide.density < 0.5 < narrow.density
    assert same.density == pytest.approx(1, abs=0.15)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(FeaturesError, match="at least 6 real and generated images, not 5 and 40"):
        precision_recall(points(0, 5), points(1, 40))
