"""Compares an exported model with the original network, on the same latents."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from avatar_export.source.checkpoint import GeneratorWeights
from avatar_export.validation.tolerances import TOLERANCES, Tolerance
from avatar_runtime.errors import AvatarError
from avatar_runtime.imaging.arrays import UInt8, from_network
from avatar_runtime.latents import latents, series

LATENTS = 1000
"""How many latents are compared: avatars 0 … 999 of a series."""
HELD_OUT = "held-out"
"""The series of the final comparison. No choice is made by it: int8 is measured on `calibration.SERIES`, and precisions
are chosen on SELECTION."""
SELECTION = "parity"
"""The series by which `auto` chooses a precision, and on which the constants of int8 were tuned by hand."""
BATCH_SIZES = (1, 7, 64)
"""Each latent is drawn in batches of each of these sizes."""
REFERENCE_BATCH_SIZE = 64
"""The original draws this many at once, whatever the batch size: it computes each image alone."""
CHUNK_SIZE = 448
"""This many images of the original are in memory at once: a multiple of each batch size."""

REFERENCE = "MindSpore, its tanh in float64"
"""The original, in words: see `avatar_training.run_folder.checkpoint.generator_network`."""

Float32 = npt.NDArray[np.float32]
Network = Callable[[Float32], Any]
"""z float32 [N, latent_dim] -> images, float32 [N, C, H, W] or, exported with a uint8 head, uint8 [N, H, W, C]."""


OnCompared = Callable[[int, int], None]
"""Called with how many of the images to compare are compared, and how many there are."""


class ParityError(AvatarError):
    """The exported model differs from the original by more than the tolerance."""


@dataclass(frozen=True)
class ParityReport:
    """How far the exported model is from the original, over all latents and batch sizes."""

    series: str
    """The latents are those of the avatars series/0, series/1, …"""
    latents: int
    batch_sizes: tuple[int, ...]
    max_difference: float
    """Largest absolute difference, in the network's own range for a float32 output, else in levels."""
    mean_difference: float
    """Mean absolute difference, in the same unit."""
    limit: float
    """The most that max_difference may be."""
    tolerance: Tolerance
    """All limits that had to hold."""
    psnr_db: float | None
    """Peak signal-to-noise ratio of the pixels in decibels; None if all are equal."""
    level_histogram: dict[int, int]
    """Difference in levels (of 255) -> how many values have it."""
    worst: int
    """Index of the latent with the largest difference."""

    @property
    def failures(self) -> list[str]:
        """Each limit that is exceeded, in a few words. A difference of NaN exceeds it."""
        values = sum(self.level_histogram.values())
        near = sum(count for level, count in self.level_histogram.items() if level <= 1) / values
        mean = sum(level * count for level, count in self.level_histogram.items()) / values
        psnr = np.inf if self.psnr_db is None else self.psnr_db
        limits = self.tolerance
        checks = [
            (self.max_difference <= self.limit, f"up to {self.max_difference:.3g} off, more than {self.limit:.3g}"),
            (near >= limits.within_one_level, f"{near:.5f} within one level, less than {limits.within_one_level:g}"),
            (mean <= limits.mean_levels, f"{mean:.3g} levels off on average, more than {limits.mean_levels:g}"),
            (psnr >= limits.psnr, f"PSNR {psnr:.2f} dB, less than {limits.psnr:g}"),
        ]
        return [failure for passed, failure in checks if not passed]

    @property
    def passed(self) -> bool:
        """Whether no limit is exceeded."""
        return not self.failures

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values, for the model file's metadata."""
        values = {**asdict(self), "reference": REFERENCE}
        values["batch_sizes"] = list(self.batch_sizes)
        values["level_histogram"] = {str(level): count for level, count in self.level_histogram.items()}
        return values


@np.errstate(invalid="ignore")  # NaN has no level; it fails the comparison below
def compare(
    exported: Network,
    reference: Network,
    weights: GeneratorWeights,
    output: str,
    tolerance: Tolerance = TOLERANCES["fp32"],
    batch_sizes: Sequence[int] = BATCH_SIZES,
    series_name: str = HELD_OUT,
    on_compared: OnCompared = lambda done, total: None,
) -> ParityReport:
    """Draw LATENTS latents of a series with both networks and report the differences.

    Args:
        exported: The exported model.
        reference: The original network; its images are float32 [N, C, H, W].
        weights: Give the sizes and the pixel range.
        output: What the exported model gives: "uint8" pixels or the network's own "float32".
        tolerance: The limits to report against.
        batch_sizes: The exported model draws all latents once for each of these.
        series_name: HELD_OUT for the final comparison, SELECTION for choices.
        on_compared: See OnCompared.

    Raises:
        ParityError: The original gives NaN or infinity.
    """
    z = parity_latents(weights.latent_dim, series_name)
    in_levels = output == "uint8"
    largest = np.zeros(len(z))
    total, squares, values, compared = 0.0, 0.0, 0, 0
    histogram: dict[int, int] = {}
    for start in range(0, len(z), CHUNK_SIZE):
        chunk = slice(start, start + CHUNK_SIZE)
        original = _draw_in_batches(reference, z[chunk], REFERENCE_BATCH_SIZE)
        if not np.isfinite(original).all():
            raise ParityError("the original network gives NaN or infinity; there is nothing to compare with")
        for size in batch_sizes:
            actual = _draw_in_batches(exported, z[chunk], size)
            expected_pixels = from_network(original, weights.pixel_range)
            actual_pixels = actual if in_levels else from_network(actual, weights.pixel_range)
            levels = np.abs(actual_pixels.astype(np.int16) - expected_pixels)
            difference = levels if in_levels else np.abs(actual.astype(np.float64) - original)
            largest[chunk] = np.maximum(largest[chunk], difference.reshape(len(difference), -1).max(axis=1))
            total += float(difference.sum())
            squares += float((levels.astype(np.int64) ** 2).sum())
            values += levels.size
            for level, count in zip(*np.unique(levels, return_counts=True), strict=True):
                histogram[int(level)] = histogram.get(int(level), 0) + int(count)
            compared += len(levels)
            on_compared(compared, len(z) * len(batch_sizes))
    low, high = weights.pixel_range
    in_range = tolerance.max_levels * (high - low) / 255 if tolerance.max_float is None else tolerance.max_float
    return ParityReport(
        series=series_name,
        latents=len(z),
        batch_sizes=tuple(batch_sizes),
        max_difference=float(largest.max()),
        mean_difference=total / values,
        limit=tolerance.max_levels if in_levels else in_range,
        tolerance=tolerance,
        psnr_db=float(10 * np.log10(255**2 * values / squares)) if squares else None,
        level_histogram=dict(sorted(histogram.items())),
        worst=int(np.argmax(largest)),  # NaN counts as the largest
    )


def cached(network: Network) -> Network:
    """The network, drawing each batch only once."""
    images: dict[bytes, Any] = {}

    def draw(z: Float32) -> Any:
        key = z.tobytes()
        if key not in images:
            images[key] = network(z)
        return images[key]

    return draw


def parity_latents(latent_dim: int, series_name: str = HELD_OUT) -> Float32:
    """The latents to compare on: float32 [LATENTS, latent_dim]."""
    return latents(list(series(series_name, LATENTS)), latent_dim)


def side_by_side(original: UInt8, exported: UInt8, amplification: int) -> UInt8:
    """The original, the exported image, and their absolute difference times amplification.

    original, exported: uint8 [H, W, C]; returns uint8 [3, H, W, C].
    """
    difference = np.abs(exported.astype(np.int16) - original)
    return np.stack([original, exported, np.minimum(difference * amplification, 255).astype(np.uint8)])


def _draw_in_batches(network: Network, z: Float32, size: int) -> npt.NDArray[Any]:
    return np.concatenate([network(z[start : start + size]) for start in range(0, len(z), size)])
