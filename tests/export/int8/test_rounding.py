"""Weights rounded together: integers within the limit, and a layer's output nearer than each rounded by itself."""

import numpy as np
import pytest

from avatar_export.int8.rounding import PAIR_LIMIT, pair_sums, round_to_nearest, round_with_compensation


@pytest.mark.parametrize("seed", range(5))
def test_the_output_is_nearer_than_that_of_the_nearest_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.uniform(-20, 20, (6, 24))
    x = np.maximum(rng.standard_normal((500, 8)) @ rng.standard_normal((8, 24)), 0)  # alike, as activations are
    covariance = np.cov(x.T, bias=True)
    together, each = round_with_compensation(weight, covariance, 64), round_to_nearest(weight, 64)
    centred = x - x.mean(axis=0)

    def error(rounded: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
        return float(np.mean((centred @ (rounded - weight).T) ** 2))

    assert error(together) < 0.75 * error(each)
    np.testing.assert_array_equal(together, np.rint(together))


def test_inputs_that_vary_alone_leave_the_nearest_weights() -> None:
    weight = np.random.default_rng(0).uniform(-90, 90, (4, 10))
    covariance = np.diag(np.arange(1.0, 11))
    np.testing.assert_array_equal(round_with_compensation(weight, covariance, 64), round_to_nearest(weight, 64))
    assert np.abs(round_with_compensation(weight, covariance, 64)).max() == 64


def test_inputs_that_never_vary_are_no_obstacle() -> None:
    weight = np.array([[0.4, 1.6]])
    np.testing.assert_array_equal(round_with_compensation(weight, np.zeros((2, 2)), 64), [[0, 2]])


@pytest.mark.parametrize("seed", range(5))
def test_pairs_stay_within_their_limit_and_the_others_make_up_for_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = np.array([[0, 1], [2, 3], [4, 5], [1, 2], [3, 4]])
    weight = rng.uniform(-90, 90, (50, 8))
    x = np.maximum(rng.standard_normal((500, 3)) @ rng.standard_normal((3, 8)), 0)
    covariance = np.cov(x.T, bias=True)
    assert pair_sums(round_with_compensation(weight, covariance, 127), pairs).max() > PAIR_LIMIT
    rounded = round_with_compensation(weight, covariance, 127, pairs)
    assert pair_sums(rounded, pairs).max() <= PAIR_LIMIT
    np.testing.assert_array_equal(rounded, np.rint(rounded))


def test_a_pairs_sum_is_of_one_sign() -> None:
    weight = np.array([[100.0, 28, -100, -29, 127]])
    np.testing.assert_array_equal(pair_sums(weight, np.array([[0, 1], [1, 2], [2, 3], [0, 4]])), [[128, 0, 129, 227]])
