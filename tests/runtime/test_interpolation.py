"""Great circles between latents: pinned by fixtures, checked against White's formula, exact at the ends."""

import hashlib
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from avatar_runtime import InputError
from avatar_runtime.interpolation import slerp
from avatar_runtime.latents import latent

from .conftest import FIXTURE

POSITIONS = [i / 20 for i in range(21)]


def whites_formula(
    a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], positions: list[float]
) -> npt.NDArray[np.float64]:
    one, other, t = a.astype(float), b.astype(float), np.array(positions)[:, None]
    angle = math.acos(one @ other / math.sqrt((one @ one) * (other @ other)))
    way: npt.NDArray[np.float64] = (np.sin((1 - t) * angle) * one + np.sin(t * angle) * other) / math.sin(angle)
    return way


@pytest.mark.parametrize("row", FIXTURE["slerp"], ids=lambda row: ascii((row["a"], row["b"], row["latent_dim"])))
def test_the_way_between_two_names_is_pinned(row: dict[str, Any]) -> None:
    way = slerp(latent(row["a"], row["latent_dim"]), latent(row["b"], row["latent_dim"]), row["positions"])
    assert way.dtype == np.float32
    assert [f"{bits:08x}" for bits in way[len(way) // 2][:4].view(np.uint32)] == row["first"]
    assert hashlib.sha256(way.astype("<f4").tobytes()).hexdigest() == row["sha256"]


@pytest.mark.parametrize(("a", "b"), [("alice", "bob"), ("", "アリス"), ("S/0", "S/1"), ("S/2", "S/3")])
def test_it_is_whites_formula_to_the_last_bits_of_float32(a: str, b: str) -> None:
    one, other = latent(a, 100), latent(b, 100)
    np.testing.assert_allclose(slerp(one, other, POSITIONS), whites_formula(one, other, POSITIONS), rtol=0, atol=3e-7)


def test_equal_and_opposite_ends_are_joined_too() -> None:
    a = latent("alice", 100)
    np.testing.assert_array_equal(slerp(a, a, POSITIONS), np.stack([a] * len(POSITIONS)))
    np.testing.assert_array_equal(slerp(a, -a, [0, 0.5, 1]), [a, 0 * a, -a])
    np.testing.assert_array_equal(slerp(0 * a, a, [0, 1]), [0 * a, a])


@pytest.mark.parametrize("position", [-0.1, 1.1, math.nan, "0.5", None, 1j])
def test_a_position_outside_is_refused(position: Any) -> None:
    with pytest.raises(InputError, match="must be a number from 0 to 1"):
        slerp(latent("a", 100), latent("b", 100), [0, position])
