"""The latent scheme: pinned by fixtures, checked against an independent implementation, and standard normal."""

import hashlib
import json
import math
import re
import unicodedata
from fractions import Fraction
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from avatar_runtime import InputError
from avatar_runtime.latents import SCHEME, check_names, latent, latents, series, standard_normal, truncate

FIXTURE = json.loads((Path(__file__).parent / "latents_fixture.json").read_text(encoding="utf-8"))
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


def test_different_texts_have_different_latents() -> None:
    texts = {unicodedata.normalize("NFC", re.sub("[\ud800-\udfff]", "\ufffd", name)) for name in NAMES}
    assert len(np.unique(latents(sorted(texts), 100), axis=0)) == len(texts)


@pytest.mark.parametrize("latent_dim", [1, 7, 8, 9, 10, 64, 128])
def test_a_shorter_latent_is_the_beginning_of_a_longer_one(latent_dim: int) -> None:
    np.testing.assert_array_equal(latents(NAMES, latent_dim), latents(NAMES, 200)[:, :latent_dim])


def test_a_row_depends_on_its_name_alone() -> None:
    together = latents(NAMES, 100)
    np.testing.assert_array_equal(np.stack([latent(name, 100) for name in NAMES]), together)
    np.testing.assert_array_equal(latents(NAMES[::-1], 100), together[::-1])
    np.testing.assert_array_equal(latents(["alice", "alice"], 100)[1], latent("alice", 100))


def test_no_names_have_no_latents() -> None:
    assert latents([], 100).shape == (0, 100)


def test_the_names_of_a_series() -> None:
    assert list(series("S", 3)) == ["S/0", "S/1", "S/2"]
    assert list(series(7, 1)) == ["7/0"]
    assert list(series("", 1)) == ["/0"]


def test_latents_are_standard_normal() -> None:
    z = latents(list(series("statistics", 1000)), 100).astype(np.float64)
    n = z.size
    assert abs(z.mean()) < 3 / math.sqrt(n)
    assert abs(z.var() - 1) < 3 * math.sqrt(2 / n)
    assert abs((z**3).mean()) < 3 * math.sqrt(15 / n)
    assert abs((z**4).mean() - 3) < 3 * math.sqrt(96 / n)
    expected = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in np.sort(z, axis=None)])
    steps = np.arange(n + 1) / n
    kolmogorov_smirnov = max((steps[1:] - expected).max(), (expected - steps[:-1]).max())
    assert kolmogorov_smirnov < 1.36 / math.sqrt(n)  # the 5% point


@pytest.mark.parametrize("axis", ["names", "dimensions"])
def test_latents_are_uncorrelated(axis: str) -> None:
    z = latents(list(series("statistics", 1000)), 100).astype(np.float64)
    z = z if axis == "names" else z.T
    correlations = np.asarray(np.corrcoef(z))
    r = correlations[np.triu_indices(len(z), 1)]
    samples = z.shape[1]
    assert abs((r**2).mean() * (samples - 1) - 1) < 5 * math.sqrt(2 / len(r))
    assert np.abs(r).max() < 6 / math.sqrt(samples)


def test_extreme_words_are_finite_and_symmetric() -> None:
    low, high = standard_normal(np.array([0, 2**32 - 1], np.uint32))
    assert np.isfinite(low)
    assert low == -high
    assert high == pytest.approx(NormalDist().inv_cdf(1 - 2.0**-33), abs=1e-6)


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


@pytest.mark.parametrize("names", ["alice", "", b"alice", 3.0, None])
def test_a_bare_string_in_place_of_names_is_refused(names: Any) -> None:
    with pytest.raises(InputError, match="names must be a list of strings"):
        check_names(names)
