"""Compare two sets of images: levels, PSNR, SSIM, and which differ most. uint8 [N, H, W, C] throughout."""

from typing import Any

import numpy as np
import numpy.typing as npt

from avatar_runtime.imaging.arrays import UInt8, grid

PERCENTILES = (50, 90, 99, 99.9)
_CHUNK_SIZE = 500
"""Images at once: the differences of 10,000 would take 1 GB."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_SIGMA, _RADIUS = 1.5, 5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def difference(expected: UInt8, actual: UInt8) -> dict[str, Any]:
    """Largest, mean and percentiles of all differences in levels; PSNR in dB (None if equal); mean and least SSIM."""
    counts = np.zeros(256, np.int64)
    similar = []
    for start in range(0, len(expected), _CHUNK_SIZE):
        a, b = expected[start : start + _CHUNK_SIZE], actual[start : start + _CHUNK_SIZE]
        counts += np.bincount(np.abs(a.astype(np.int16) - b).ravel(), minlength=256)
        similar.append(ssim(a, b))
    levels, total = np.arange(256), counts.sum()
    squares = float((counts * levels**2).sum() / total)
    similarity = np.concatenate(similar)
    below = np.cumsum(counts) / total
    return {
        "max": int(levels[counts > 0].max()),
        "mean": float((counts * levels).sum() / total),
        "percentiles": {f"{q:g}": int(np.searchsorted(below, q / 100)) for q in PERCENTILES},
        "within_one": float(counts[:2].sum() / total),
        "psnr_db": float(10 * np.log10(255**2 / squares)) if squares else None,
        "ssim": float(similarity.mean()),
        "least_ssim": float(similarity.min()),
        "histogram": {str(level): int(counts[level]) for level in levels[counts > 0]},
    }


def ssim(a: UInt8, b: UInt8) -> npt.NDArray[np.float64]:
    """Structural similarity of each pair, on luma: float64 [N], 1 if equal.

    Z. Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004: Gaussian windows
    of 11x11 with sigma 1.5, averaged over the windows that lie inside the image.
    """
    from scipy.ndimage import correlate1d

    window = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    window /= window.sum()

    def smooth(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        inside = slice(_RADIUS, -_RADIUS)
        found = correlate1d(correlate1d(values, window, axis=1), window, axis=2)[:, inside, inside]
        return np.asarray(found, np.float32)

    x, y = (
        image.astype(np.float32) @ _LUMA if image.shape[-1] == 3 else image[..., 0].astype(np.float32)
        for image in (a, b)
    )
    mean_x, mean_y = smooth(x), smooth(y)
    variance_x, variance_y = smooth(x * x) - mean_x**2, smooth(y * y) - mean_y**2
    covariance = smooth(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
    similarity: npt.NDArray[np.float64] = (luminance * structure).mean(axis=(1, 2), dtype=np.float64)
    return similarity


def worst(expected: UInt8, actual: UInt8, count: int) -> list[int]:
    """Indices of the images with the largest single difference; ties are ordered by the mean difference."""
    largest, means = [], []
    for start in range(0, len(expected), _CHUNK_SIZE):
        levels = np.abs(expected[start : start + _CHUNK_SIZE].astype(np.int16) - actual[start : start + _CHUNK_SIZE])
        flat = levels.reshape(len(levels), -1)
        largest.append(flat.max(axis=1))
        means.append(flat.mean(axis=1))
    order = np.lexsort((-np.concatenate(means), -np.concatenate(largest).astype(np.int32)))
    return [int(i) for i in order[:count]]


def sheet(expected: UInt8, actual: UInt8) -> UInt8:
    """Three rows: expected, actual, and their difference scaled so that the largest is white."""
    difference = np.abs(expected.astype(np.int16) - actual)
    amplified = (difference * (255 // max(int(difference.max()), 1))).astype(np.uint8)
    return grid(np.concatenate([expected, actual, amplified]), columns=len(expected))
