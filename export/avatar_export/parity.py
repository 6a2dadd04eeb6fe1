"""The gate: an exported model against the original network, on the same latents."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from avatar_export.checkpoint import GeneratorWeights
from avatar_runtime.errors import AvatarError
from avatar_runtime.latents import latents, series
from avatar_runtime.pixels import UInt8, from_network

LATENTS = 256
"""How many latents are compared: avatars 0 … 255 of the series "parity"."""
BATCH_SIZES = (1, 7, 64)
"""Each latent is drawn in batches of each of these sizes."""
MAX_FLOAT_DIFFERENCE = 1e-5
"""What a float32 output may differ by, in the network's own range of [-1, 1]."""
MAX_LEVEL_DIFFERENCE = 1
"""What a uint8 output may differ by, of 255: a value near a half may round either way."""

REFERENCE = "MindSpore, its tanh in float64"
"""What is compared with: see `avatar_training.checkpoint.generator_network`."""

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
    psnr_db: float | None
    """Peak signal-to-noise ratio of the pixels in decibels; None if all are equal."""
    level_histogram: dict[int, int]
    """Difference in levels (of 255) -> how many values have it."""
    worst: int
    """The latent with the largest difference."""

    @property
    def passed(self) -> bool:
        """Whether the difference is within the limit; one that is not a number is not."""
        return self.max_difference <= self.limit

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
    for size in batch_sizes:
        for start in range(0, len(z), size):
            batch = z[start : start + size]
            expected, actual = reference(batch), exported(batch)
            if not np.isfinite(expected).all():
                raise ParityError("the original network gives NaN or infinity; there is nothing to compare with")
            expected_pixels = from_network(expected, weights.pixel_range)
            actual_pixels = actual if in_levels else from_network(actual, weights.pixel_range)
            levels = np.abs(actual_pixels.astype(np.int16) - expected_pixels)
            difference = levels if in_levels else np.abs(actual.astype(np.float64) - expected)
            largest[start : start + size] = np.maximum(largest[start : start + size], _max_of_each(difference))
            total += float(difference.sum())
            squares += float((levels.astype(np.int64) ** 2).sum())
            values += levels.size
            for level, count in zip(*np.unique(levels, return_counts=True), strict=True):
                histogram[int(level)] = histogram.get(int(level), 0) + int(count)
    return ParityReport(
        latents=len(z),
        batch_sizes=tuple(batch_sizes),
        max_difference=float(largest.max()),
        mean_difference=total / values,
        limit=MAX_LEVEL_DIFFERENCE if in_levels else MAX_FLOAT_DIFFERENCE,
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


def _max_of_each(difference: npt.NDArray[Any]) -> npt.NDArray[Any]:
    maxima: npt.NDArray[Any] = difference.reshape(len(difference), -1).max(axis=1)
    return maxima
