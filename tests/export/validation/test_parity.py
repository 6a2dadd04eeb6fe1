from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from avatar_export.validation.parity import Network, ParityError, ParityReport, compare, parity_latents
from tiny_model import tiny_weights

Images = npt.NDArray[Any]

VALUES = 32 * 32 * 3  # of one image
GREY = np.float32(100 / 127.5 - 1)  # level 100 of a network whose pixels are in [-1, 1]


def by_index(draw: Callable[[list[int]], Images], latent_dim: int) -> Network:
    """A network whose images are made by a function of the latents' indices, [N] -> [N, ...]."""
    index = {z.tobytes(): i for i, z in enumerate(parity_latents(latent_dim))}
    return lambda batch: draw([index[z.tobytes()] for z in batch])


def grey(z: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.full((len(z), 3, 32, 32), GREY)


def against_grey(draw: Callable[[list[int]], Images], output: str, *batch_sizes: int) -> ParityReport:
    weights = tiny_weights(ngf=1, latent_dim=4)
    return compare(by_index(draw, 4), grey, weights, output, batch_sizes=batch_sizes)


def shifted(output: str, changes: Mapping[int, float]) -> Callable[[list[int]], Images]:
    """Grey images; the first value of image i is changes[i] higher."""

    def draw(indices: list[int]) -> Images:
        images = np.full((len(indices), VALUES), 100 if output == "uint8" else GREY)
        images[:, 0] += [changes.get(i, 0) for i in indices]
        if output == "uint8":
            return images.astype(np.uint8).reshape(-1, 32, 32, 3)
        return images.astype(np.float32).reshape(-1, 3, 32, 32)

    return draw


def test_an_original_that_gives_nan_proves_nothing() -> None:
    with pytest.raises(ParityError, match="NaN"):
        compare(grey, lambda z: grey(z) * np.float32(np.nan), tiny_weights(ngf=1, latent_dim=4), "float32")


def test_report_in_levels_is_right() -> None:
    report = against_grey(shifted("uint8", {5: 1, 77: -3, 200: 3}), "uint8", 1, 64)
    assert report.level_histogram == {0: 2 * (1000 * VALUES - 3), 1: 2, 3: 4}
    assert report.max_difference == 3
    assert report.mean_difference == pytest.approx(7 / (1000 * VALUES))
    assert report.psnr_db == pytest.approx(10 * np.log10(255**2 / (19 / (1000 * VALUES))))
    assert report.worst == 77
    assert (report.limit, report.passed) == (1, False)


def test_report_in_the_networks_range_is_right() -> None:
    report = against_grey(shifted("float32", {5: 1 / 127.5, 255: -0.5}), "float32", 7)
    assert report.max_difference == pytest.approx(0.5)
    assert report.mean_difference == pytest.approx((1 / 127.5 + 0.5) / (1000 * VALUES), rel=1e-5)
    assert report.level_histogram == {0: 1000 * VALUES - 2, 1: 1, 64: 1}  # 0.5 is 63.75 levels
    assert report.worst == 255
    assert (report.limit, report.passed) == (1e-5, False)


@pytest.mark.parametrize(
    ("output", "difference", "passed"),
    [("uint8", 1, True), ("uint8", 2, False), ("float32", 9e-6, True), ("float32", 1.1e-5, False)],
)
def test_the_limit_is_one_level_or_1e_5(output: str, difference: float, passed: bool) -> None:
    assert against_grey(shifted(output, {3: difference}), output, 64).passed is passed


@pytest.mark.parametrize("output", ["float32", "uint8"])
def test_equal_images_have_no_psnr(output: str) -> None:
    report = against_grey(shifted(output, {}), output, 64)
    assert (report.max_difference, report.mean_difference, report.psnr_db) == (0, 0, None)
    assert report.level_histogram == {0: 1000 * VALUES}


@pytest.mark.parametrize("bad_size", [1, 40, 6])  # 6 are left over from batches of 7, 40 from 64
def test_a_mistake_at_one_batch_size_is_found(bad_size: int) -> None:
    right, wrong = shifted("uint8", {}), shifted("uint8", {995: 9})
    report = against_grey(lambda i: (wrong if len(i) == bad_size else right)(i), "uint8", 64, 7, 1)
    assert (report.max_difference, report.worst) == (9, 995)


def test_an_image_of_nan_fails_and_is_the_worst() -> None:
    report = against_grey(shifted("float32", {9: 1.0, 30: np.nan}), "float32", 64)
    assert not report.passed
    assert report.worst == 30
