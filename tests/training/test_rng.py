import hashlib

import numpy as np
import pytest

from avatar_training import rng


def test_the_numbers_of_a_step_are_pinned() -> None:
    words = rng.words(seed=1, purpose=rng.LATENTS, step=2, count=1001)
    assert words.dtype == np.uint32
    assert words[:3].tolist() == [88387630, 1159531988, 1489086520]
    digest = hashlib.sha256(words.astype("<u4").tobytes()).hexdigest()
    assert digest == "6bcd9bc9df8f8551ab9dede3b3951f2747fffa5439c56de0d9d393175a9f54d5"


def test_seed_purpose_and_step_each_give_other_numbers() -> None:
    seen = {rng.words(*key, 8).tobytes() for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]}
    assert len(seen) == 4


def test_streams_of_neighbouring_steps_do_not_overlap() -> None:
    first, second = (rng.words(0, 0, step, 100_000) for step in (0, 1))
    assert len(np.intersect1d(first.view("<u8"), second.view("<u8"))) == 0


def test_an_order_visits_each_image_once_and_differs_between_epochs() -> None:
    orders = [rng.order(0, epoch, 1000) for epoch in (0, 1)]
    for order in orders:
        assert sorted(order) == list(range(1000))
    assert (orders[0] != orders[1]).mean() > 0.9


def test_latents_are_standard_normal() -> None:
    z = rng.latents(seed=3, step=0, batch_size=1000, latent_dim=100)
    assert z.shape == (1000, 100)
    assert z.dtype == np.float32
    assert abs(z.mean()) < 0.01
    assert abs(z.std() - 1) < 0.01


def test_latents_are_truncated_each_by_its_own_between_the_least_and_one() -> None:
    whole = rng.latents(seed=3, step=0, batch_size=1000, latent_dim=100)
    z = rng.latents(seed=3, step=0, batch_size=1000, latent_dim=100, min_truncation=0.7)
    truncations = np.linalg.norm(z, axis=1) / np.linalg.norm(whole, axis=1)
    np.testing.assert_allclose(z, truncations[:, None] * whole, rtol=1e-4, atol=1e-6)
    assert truncations.min() == pytest.approx(0.7, abs=0.01)
    assert truncations.max() == pytest.approx(1, abs=0.01)
    assert abs(truncations.mean() - 0.85) < 0.01


def test_uniform_numbers_fill_the_half_open_unit_interval() -> None:
    u = rng.uniform(0, rng.AUGMENT_REAL, 0, (1000, 7))
    assert u.shape == (1000, 7)
    assert u.dtype == np.float32
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 0.02
