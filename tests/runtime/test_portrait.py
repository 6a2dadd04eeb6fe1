"""Portraits: sizes, circles, and what lies behind them."""

import math
from typing import Any

import numpy as np
import pytest
from PIL import Image

from avatar_runtime import InputError
from avatar_runtime.imaging.arrays import UInt8
from avatar_runtime.imaging.portrait import Portrait, disc


def images(channels: int = 3, side: int = 8) -> UInt8:
    return np.random.default_rng(0).integers(0, 256, (2, side, side, channels), np.uint8)


def test_nothing_asked_is_nothing_done() -> None:
    np.testing.assert_array_equal(Portrait().show(images()), images())
    assert Portrait().side(8) == 8


@pytest.mark.parametrize("size", [1, 5, 12, 16, 24])
def test_other_sizes_are_resampled_by_lanczos(size: int) -> None:
    shown = Portrait(size).show(images())
    for image, found in zip(images(), shown, strict=True):
        expected = Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(found, np.asarray(expected))
    assert Portrait(size).show(images(1)).shape == (2, size, size, 1)


@pytest.mark.parametrize("side", [1, 2, 7, 64, 101])
def test_a_circle_is_round_soft_and_the_largest_that_fits(side: int) -> None:
    alpha = disc(side).astype(int)
    for turned in (alpha.T, alpha[::-1], alpha[:, ::-1]):
        np.testing.assert_array_equal(turned, alpha)
    assert alpha.sum() / 255 == pytest.approx(math.pi * side**2 / 4, rel=0.02, abs=0.5)
    if side > 2:
        assert (alpha[0, 0], alpha[side // 2, side // 2]) == (0, 255)
        assert set(np.unique(alpha)) - {0, 255}  # an edge without steps
        assert alpha[side // 2, 0] > 200


@pytest.mark.parametrize("channels", [1, 3])
def test_around_a_circle_it_is_transparent(channels: int) -> None:
    shown = Portrait(circle=True).show(images(channels))
    assert shown.shape == (2, 8, 8, 4)
    np.testing.assert_array_equal(shown[..., :3], np.broadcast_to(images(channels), (2, 8, 8, 3)))
    np.testing.assert_array_equal(shown[1, ..., 3], disc(8))


@pytest.mark.parametrize("colour", ["#fc0", "#FFCC00", "rgb(255,204,0)", "rgb(100%,80%,0%)"])
def test_a_background_lies_behind_the_circle_and_shines_through_its_edge(colour: str) -> None:
    shown = Portrait(16, circle=True, background=colour).show(images())
    assert shown.shape == (2, 16, 16, 3)
    share = disc(16)[..., None] / 255
    expected = Portrait(16).show(images()) * share + np.array([255, 204, 0]) * (1 - share)
    np.testing.assert_allclose(shown, expected, atol=0.51)
    assert tuple(shown[0, 0, 0]) == (255, 204, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": True}, "pixels, not True"),
        ({"size": "64"}, "pixels, not '64'"),
        ({"circle": True, "background": ""}, "'' is not a colour"),
        ({"circle": True, "background": "#ff000080"}, "is not a colour"),
        ({"circle": True, "background": "rgb(999,0,0)"}, "is not a colour"),
        ({"circle": True, "background": 7}, "7 is not a colour"),
    ],
    ids=str,
)
def test_what_cannot_be_shown_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Portrait(**options)
