"""The direction towards whole faces, and the affine map that sets every latent to one place on it."""

import numpy as np
import pytest

from avatar_training.steering.direction import DirectionError, affine_map, compose, find_direction


def test_the_direction_behind_noisy_scores_is_found() -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((3000, 20)).astype(np.float32)
    truth = rng.standard_normal(20)
    truth /= np.linalg.norm(truth)
    found = find_direction(z, -2 * z @ truth + rng.standard_normal(3000) + 5)  # broken faces lie against it
    assert found.v @ truth > 0.99
    assert np.linalg.norm(found.v) == pytest.approx(1)
    assert found.r2 == pytest.approx(0.8, abs=0.03)


def test_scores_that_no_direction_decides_are_refused() -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((1000, 20)).astype(np.float32)
    with pytest.raises(DirectionError, match=r"no direction of latent space.*R2"):
        find_direction(z, rng.standard_normal(1000))


def test_the_map_sets_the_place_along_the_direction_and_keeps_the_rest() -> None:
    rng = np.random.default_rng(0)
    v = rng.standard_normal(100).astype(np.float32)
    v /= np.linalg.norm(v)
    z = rng.standard_normal((50, 100)).astype(np.float32)
    weight, bias = affine_map(v, 1.2)
    assert weight.dtype == bias.dtype == np.float32
    assert (weight.shape, bias.shape) == ((100, 100), (100,))
    mapped = z @ weight.T + bias
    np.testing.assert_allclose(mapped @ v, 1.2, atol=1e-5)
    across = np.linalg.svd(v[None])[2][1:]  # all directions at right angles to v
    np.testing.assert_allclose(mapped @ across.T, z @ across.T, atol=1e-5)
    np.testing.assert_allclose(mapped @ weight.T + bias, mapped, atol=1e-5)  # twice is once


def test_a_second_steering_comes_after_the_first() -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((50, 20)).astype(np.float32)
    directions = [v / np.linalg.norm(v) for v in rng.standard_normal((2, 20)).astype(np.float32)]
    first, second = affine_map(directions[0], 1.0), affine_map(directions[1], 0.5)
    weight, bias = compose(second, first)
    once = z @ first[0].T + first[1]
    np.testing.assert_allclose(z @ weight.T + bias, once @ second[0].T + second[1], atol=1e-5)
    np.testing.assert_allclose((z @ weight.T + bias) @ directions[1], 0.5, atol=1e-5)
