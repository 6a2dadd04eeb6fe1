"""What steering should not change: how far colours and poses have moved from those of the unsteered faces."""

import numpy as np
import numpy.typing as npt

from avatar_runtime.imaging.arrays import UInt8

_HUES, _CELLS = 36, 8

Floats64 = npt.NDArray[np.float64]


def hue_histogram(images: UInt8) -> Floats64:
    """The hues of pictures uint8 [N, H, W, 3], weighted by how colourful a pixel is: 36 shares that add up to 1."""
    channels = images.astype(np.float64).reshape(-1, images.shape[3]) / 255
    red, green, blue = channels[:, 0], channels[:, channels.shape[1] // 2], channels[:, -1]
    high, low = channels.max(axis=1), channels.min(axis=1)
    chroma = high - low
    safe = np.where(chroma > 0, chroma, 1)
    sixth = np.select(
        [high == red, high == green], [(green - blue) / safe % 6, (blue - red) / safe + 2], (red - green) / safe + 4
    )
    shares = np.bincount((sixth * _HUES / 6).astype(int) % _HUES, weights=chroma, minlength=_HUES)
    return np.asarray(shares / max(shares.sum(), 1e-12))


def hue_drift(before: UInt8, after: UInt8) -> float:
    """The share of colour whose hue has changed, from 0 to 1: the total variation distance of the histograms."""
    return float(np.abs(hue_histogram(before) - hue_histogram(after)).sum() / 2)


class Pose:
    """Which way faces look, measured along the most common difference between the left and the right of a face.

    That difference is the first principal component of the odd part of grey pictures at 8 x 8: what changes sign in the
    mirror.
    """

    def __init__(self, reference: UInt8) -> None:
        """Find the most common difference in the unsteered faces, uint8 [N, H, W, C]."""
        self._axis = np.linalg.svd(_odd(reference), full_matrices=False)[2][0]
        self._reference = np.sort(self(reference))

    def __call__(self, images: UInt8) -> Floats64:
        """How far each face is turned to one side, float64 [N]."""
        return np.asarray(_odd(images) @ self._axis)

    def drift(self, images: UInt8) -> float:
        """How differently faces are turned now: the largest distance of the cumulative distributions, 0 to 1."""
        turned = np.sort(self(images))
        both = np.concatenate([self._reference, turned])
        shares = [np.searchsorted(one, both, "right") / len(one) for one in (self._reference, turned)]
        return float(np.abs(shares[0] - shares[1]).max())


def _odd(images: UInt8) -> Floats64:
    grey = images.mean(axis=3)
    n, height, width = grey.shape
    cells = grey.reshape(n, _CELLS, height // _CELLS, _CELLS, width // _CELLS).mean(axis=(2, 4))
    return np.asarray((cells - cells[:, :, ::-1]).reshape(n, -1))  # [N, 64]
