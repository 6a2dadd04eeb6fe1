"""The latent scheme: pinned by fixtures, and checked against an independent implementation."""

import hashlib
import math
import re
import unicodedata
from fractions import Fraction
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from avatar_runtime import InputError
from avatar_runtime.latents import SCHEME, latent, latents, standard_normal, truncate

from .conftest import FIXTURE

PINNED = [(row["name"] * row.get("times", 1), row) for row in FIXTURE["latents"]]
NAMES = [name for name, _ in PINNED]
IDS = [ascii(name)[:30] for name in NAMES]


def independent_latent(name: str, latent_dim: int) -> list[float]:
    text = re.sub("[\ud800-\udfff]", "\ufffd", name)
    start = SCHEME.encode() + b"\0" + unicodedata.normalize("NFC", text).encode() + b"\0"
    data = b"".join(hashlib.sha256(start + i.to_bytes(4, "big")).digest() for i in range(latent_dim))
    words = (int.from_bytes(data[4 * i : 4 * i + 4], "big") for i in range(latent_dim))
    return [NormalDist().inv_cdf((word + 0.5) / 2**32) for word in words]


@pytest.mark.parametrize(("name", "pinned"), PINNED, ids=IDS)
def test_a_name_has_the_pinned_latent(name: str, pinned: dict[str, Any]) -> None:
    assert FIXTURE["scheme"] == SCHEME
    z = latent(name, FIXTURE["latent_dim"])
    assert z.dtype == np.float32
    assert [f"{bits:08x}" for bits in z[:4].view(np.uint32)] == pinned["first"]
    assert hashlib.sha256(z.astype("<f4").tobytes()).hexdigest() == pinned["sha256"]


def test_a_thousand_names_have_their_pinned_latents() -> None:
    pinned = dict(FIXTURE["more"])
    assert len({*pinned, *NAMES}) == 1000
    found = (hashlib.sha256(z.astype("<f4").tobytes()).hexdigest()[:16] for z in latents(list(pinned), 100))
    assert dict(zip(pinned, found, strict=True)) == pinned


def test_an_independent_implementation_agrees() -> None:
    names = [name for name, _ in FIXTURE["more"]]
    expected = [independent_latent(name, 40) for name in names]
    np.testing.assert_allclose(latents(names, 40), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("café", "cafe\u0301"),
        ("\u212b", "\u00c5"),
        ("가", "\u1100\u1161"),
        ("x\ud83d", "x\ufffd"),
        ("\udc00\ud800", "\ufffd\ufffd"),
        ("\ud83d\ude00", "😀"),
    ],
    ids=ascii,
)
def test_spellings_of_one_text_have_one_latent(name: str, same: str) -> None:
    assert name != same
    np.testing.assert_array_equal(latent(name, 100), latent(same, 100))


@pytest.mark.parametrize("latent_dim", [1, 7, 8, 9, 10, 64, 128])
def test_a_shorter_latent_is_the_beginning_of_a_longer_one(latent_dim: int) -> None:
    np.testing.assert_array_equal(latents(NAMES, latent_dim), latents(NAMES, 200)[:, :latent_dim])


def test_words_are_symmetric_and_ascending_over_their_whole_range() -> None:
    seam = [round(p * 2**32) + d for p in (0.075, 0.5, 0.925) for d in range(-50, 50)]  # where the formulas change
    words = np.array(sorted({*seam, *range(50), *range(2**32 - 50, 2**32), *range(0, 2**32, 2**21 + 1)}), np.uint32)
    z = standard_normal(words)
    np.testing.assert_array_equal(standard_normal(np.uint32(2**32 - 1) - words), -z)
    assert (np.diff(z) >= 0).all()
    expected = [NormalDist().inv_cdf((int(word) + 0.5) / 2**32) for word in words]
    np.testing.assert_allclose(z, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("truncation", [0, 0.5, 1, 1.0, 2, np.float32(0.5), np.float64(1.5), Fraction(1, 3)])
def test_truncation_scales(truncation: float) -> None:
    z = latents(["alice", "bob"], 100)
    scaled = truncate(z, truncation)
    assert scaled.dtype == np.float32
    expected: npt.NDArray[np.float32] = z * np.float32(truncation)
    np.testing.assert_array_equal(scaled, expected)


@pytest.mark.parametrize(
    "truncation",
    [math.nan, math.inf, -math.inf, -0.1, 2.1, 10**400, "x", "1", None, 1j, [1.0]],
    ids=lambda t: repr(t)[:9],
)
def test_a_bad_truncation_is_refused(truncation: Any) -> None:
    with pytest.raises(InputError, match="truncation must be a finite number from 0 to 2"):
        truncate(latents(["alice"], 100), truncation)


@pytest.mark.parametrize("name", [7, None, b"alice", 1.5, ["alice"]])
def test_a_name_that_is_no_string_is_refused(name: Any) -> None:
    with pytest.raises(InputError, match="a name must be a string"):
        latents(["alice", name], 100)
