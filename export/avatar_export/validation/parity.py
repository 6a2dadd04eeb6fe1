"""The gate: an exported model against the original network, on the same latents."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from avatar_export.source.checkpoint import GeneratorWeights
from avatar_export.validation.tolerances import GATES, Gate
from avatar_runtime.errors import AvatarError
from avatar_runtime.imaging.arrays import UInt8, from_network
from avatar_runtime.latents import latents, series

LATENTS = 1000
"""How many latents are compared: avatars 0 … 999 of the series "parity"."""
BATCH_SIZES = (1, 7, 64)
"""Each latent is drawn in batches of each of these sizes."""
REFERENCE_BATCH = 64
"""The original draws this many at once, whatever the batch size: it computes each image alone."""
CHUNK = 448
"""So many of its images are kept: a multiple of each batch size."""

REFERENCE = "MindSpore, its tanh in float64"
"""What is compared with: see `avatar_training.run_folder.checkpoint.generator_network`."""

Float32 = npt.NDArray[np.float32]
Network = Callable[[Float32], Any]
"""z float32 [N, latent_dim] -> images, float32 [N, C, H, W] or, exported with a uint8 head, uint8 [N, H, W, C]."""


class ParityError(AvatarError):
    """The exported model differs from the original by more than it may."""


@dataclass(frozen=True)
class ParityReport:
    """How far the exported model is from the original, over all latents and batch sizes."""

    latents: int
    batch_sizes: tuple[int, ...]
    max_difference: float
    """Largest absolute difference, in the network's own range for a float32 output, else in levels."""
    mean_difference: float
    """Mean absolute difference, in the same unit."""
    limit: float
    """What max_difference may be."""
    gate: Gate
    """All that had to hold."""
    psnr_db: float | None
    """Peak signal-to-noise ratio of the pixels in decibels; None if all are equal."""
    level_histogram: dict[int, int]
    """Difference in levels (of 255) -> how many values have it."""
    worst: int
    """The latent with the largest difference."""

    @property
    def failures(self) -> list[str]:
        """What the gate refuses, each in a few words; a difference that is not a number is refused."""
        values = sum(self.level_histogram.values())
        within = sum(count for level, count in self.level_histogram.items() if level <= 1) / values
        mean = sum(level * count for level, count in self.level_histogram.items()) / values
        psnr = np.inf if self.psnr_db is None else self.psnr_db
        gate = self.gate
        checks = [
            (self.max_difference <= self.limit, f"up to {self.max_difference:.3g} off, more than {self.limit:.3g}"),
            (within >= gate.within_one_level, f"{within:.5f} within one level, less than {gate.within_one_level:g}"),
            (mean <= gate.mean_levels, f"{mean:.3g} levels off on average, more than {gate.mean_levels:g}"),
            (psnr >= gate.psnr, f"PSNR {psnr:.2f} dB, less than {gate.psnr:g}"),
        ]
        return [failure for passed, failure in checks if not passed]

    @property
    def passed(self) -> bool:
        """Whether the gate refuses nothing."""
        return not self.failures

    def to_dict(self) -> dict[str, Any]:
        """What goes into the model file, as JSON values."""
        values = {**asdict(self), "reference": REFERENCE}
        values["batch_sizes"] = list(self.batch_sizes)
        values["level_histogram"] = {str(level): count for level, count in self.level_histogram.items()}
        return values


@np.errstate(invalid="ignore")  # NaN has no level; the gate refuses it
def compare(
    exported: Network,
    reference: Network,
    weights: GeneratorWeights,
    output: str,
    gate: Gate = GATES["fp32"],
    batch_sizes: Sequence[int] = BATCH_SIZES,
) -> ParityReport:
    """Run both on LATENTS latents at each batch size and report the differences.

    output says what the exported model gives: "uint8" pixels or the network's own "float32". Raises ParityError if the
    original gives NaN.
    """
    z = parity_latents(weights.latent_dim)
    in_levels = output == "uint8"
    largest = np.zeros(len(z))
    total, squares, values = 0.0, 0.0, 0
    histogram: dict[int, int] = {}
    for chunk in range(0, len(z), CHUNK):
        original = _drawn(reference, z[chunk : chunk + CHUNK], REFERENCE_BATCH)
        if not np.isfinite(original).all():
            raise ParityError("the original network gives NaN or infinity; there is nothing to compare with")
        for size in batch_sizes:
            actual = _drawn(exported, z[chunk : chunk + CHUNK], size)
            expected_pixels = from_network(original, weights.pixel_range)
            actual_pixels = actual if in_levels else from_network(actual, weights.pixel_range)
            levels = np.abs(actual_pixels.astype(np.int16) - expected_pixels)
            difference = levels if in_levels else np.abs(actual.astype(np.float64) - original)
            largest[chunk : chunk + CHUNK] = np.maximum(largest[chunk : chunk + CHUNK], _max_of_each(difference))
            total += float(difference.sum())
            squares += float((levels.astype(np.int64) ** 2).sum())
            values += levels.size
            for level, count in zip(*np.unique(levels, return_counts=True), strict=True):
                histogram[int(level)] = histogram.get(int(level), 0) + int(count)
    low, high = weights.pixel_range
    in_range = gate.max_levels * (high - low) / 255 if gate.max_float is None else gate.max_float
    return ParityReport(
        latents=len(z),
        batch_sizes=tuple(batch_sizes),
        max_difference=float(largest.max()),
        mean_difference=total / values,
        limit=gate.max_levels if in_levels else in_range,
        gate=gate,
        psnr_db=float(10 * np.log10(255**2 * values / squares)) if squares else None,
        level_histogram=dict(sorted(histogram.items())),
        worst=int(np.argmax(largest)),  # NaN counts as the largest
    )


def remembered(network: Network) -> Network:
    """The network, drawing each batch once."""
    known: dict[bytes, Any] = {}

    def remembering(z: Float32) -> Any:
        key = z.tobytes()
        if key not in known:
            known[key] = network(z)
        return known[key]

    return remembering


def parity_latents(latent_dim: int) -> Float32:
    """The latents of the gate: float32 [LATENTS, latent_dim]."""
    return latents(list(series("parity", LATENTS)), latent_dim)


def side_by_side(original: UInt8, exported: UInt8, amplification: int = 64) -> UInt8:
    """Three images in a row: the original, the exported one, and their difference, a level shown as so many.

    original, exported: uint8 [H, W, C]; returns uint8 [3, H, W, C].
    """
    difference = np.abs(exported.astype(np.int16) - original)
    return np.stack([original, exported, np.minimum(difference * amplification, 255).astype(np.uint8)])


def _drawn(network: Network, z: Float32, size: int) -> npt.NDArray[Any]:
    return np.concatenate([network(z[start : start + size]) for start in range(0, len(z), size)])


def _max_of_each(difference: npt.NDArray[Any]) -> npt.NDArray[Any]:
    maxima: npt.NDArray[Any] = difference.reshape(len(difference), -1).max(axis=1)
    return maxima
