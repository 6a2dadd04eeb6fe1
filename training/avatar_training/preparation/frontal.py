"""Find the faces that look straight ahead: their left and right sides are alike.

A set with fewer poses is easier to learn. T. DeVries et al., "Instance Selection for GANs", NeurIPS 2020, leave out the
images that are rare in what a classifier sees; among drawn faces those are rare styles, and a small generator fails
rather at turned and tilted heads.
"""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from avatar_runtime.imaging.arrays import UInt8
from avatar_training.steering.activations import GREY

_SIDE = 64  # pictures are measured at this size
_CENTRE = np.s_[:, 4:17, 3:17]  # of a map of 20 x 20: without hair and shoulders
_BLUR = 3.0
_GRID = np.s_[:, 2::3, 2::3]

Floats = npt.NDArray[np.float32]


def layout(pictures: UInt8) -> Floats:
    """Where pictures are light, and where they have edges: uint8 [N, S, S, 3] -> float32 [N, 2, 13, 14], standardised.

    S is 32, 64 or 128.
    """
    grey = pictures.astype(np.float32) @ np.array(GREY, np.float32)
    grey = grey.repeat(2, axis=1).repeat(2, axis=2)  # so that 32 pixels become 64
    times = grey.shape[1] // _SIDE
    grey = grey.reshape(-1, _SIDE, times, _SIDE, times).mean(axis=(2, 4))
    down, across = np.gradient(grey, axis=(1, 2))
    maps = [gaussian_filter(each, (0, _BLUR, _BLUR))[_GRID][_CENTRE] for each in (grey, np.hypot(down, across))]
    return np.stack([_standardised(each) for each in maps], axis=1)


def frontality(layouts: Floats) -> Floats:
    """How far each face looks straight ahead, compared with the others: float32 [N], of mean 0.

    The sum, each in its own spread, of a layout's correlation with its mirror image, and with the mean of all layouts.
    """
    mean = layouts.mean(axis=0)
    mean = _standardised(mean + mean[..., ::-1])
    alike = [(layouts * other).mean(axis=(2, 3)) for other in (layouts[..., ::-1], mean)]
    return np.asarray(sum((each - each.mean(axis=0)) / (each.std(axis=0) + 1e-6) for each in alike).sum(axis=1))


def _standardised(maps: Floats) -> Floats:
    centred = maps - maps.mean(axis=(-2, -1), keepdims=True)
    return np.asarray(centred / (centred.std(axis=(-2, -1), keepdims=True) + 1e-6), np.float32)
