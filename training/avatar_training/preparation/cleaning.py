"""Find pictures that a set of faces is better without: no face, near duplicates, flat and blurred ones.

A picture without a face is far from all others, and a copy is near another one, in what an image classifier sees (the
activations of `steering.activations`, in grey, so copies in other colours are found, too). The limits were chosen by
looking at 4,312 faces of a crawled collection, each sorted by the measure: where what should go and what should stay
begin to mix.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from avatar_runtime.imaging.arrays import UInt8
from avatar_training.data.source import DataError
from avatar_training.steering.activations import GREY, ActivationNetwork

FLAT = 15.0
"""A picture is flat if the standard deviation of its grey levels is less: 0.2% were."""

BLURRED = 0.45
"""It is blurred if its sharpness is less than this part of the median: 0.7% were, one in four with soft lines only."""

NO_FACE = 1.5
"""No face: if its 10th nearest is farther than this times the set's radius: 0.5% were, half of them odd faces."""

DUPLICATE = 0.55
"""A duplicate: if one that stays is nearer than this part of the radius: 0.8% were."""

REASONS = ("flat", "blurred", "no face", "duplicate")

FEWEST = 200
"""Among fewer pictures nothing can be said of the last two."""

_NEIGHBOURS, _COMPONENTS, _FITTED = 10, 160, 2000
_BLOCK = 32

Floats = npt.NDArray[np.float32]


def check_count(count: int) -> None:
    """Raise DataError if these are too few pictures to find those without a face."""
    if count < FEWEST:
        raise DataError(f"{count} images are too few to find those without a face; leave out --network")


def find(
    network: ActivationNetwork | None,
    count: int,
    read: Callable[[int], UInt8],
    on_measured: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, dict[int, int]]:
    """Say which pictures should go.

    Args:
        network: a classifier for "no face" and "duplicate"; None to look for neither.
        count: how many pictures there are.
        read: gives picture i: uint8 [H, W, 3], all of one size.
        on_measured: called with the number of pictures measured so far and in all.

    Returns:
        Reason -> pictures, each with one to compare it with (itself where there is none). A picture is named once.

    Raises:
        DataError: there are too few pictures for a network.
    """
    contrast, sharpness = np.empty(count), np.empty(count)
    reduce, reduced = None, []
    if network:
        check_count(count)
        reduce = _reduction(network, count, read)
    for start in range(0, count, _BLOCK):
        pictures = np.stack([read(i) for i in range(start, min(start + _BLOCK, count))])
        rows = slice(start, start + len(pictures))
        contrast[rows], sharpness[rows] = _contrast_and_sharpness(pictures)
        if reduce:
            reduced.append(reduce(pictures))
        on_measured(start + len(pictures), count)
    flat = contrast < FLAT
    blurred = ~flat & (sharpness < BLURRED * np.median(sharpness))
    found = {reason: dict[int, int]() for reason in REASONS}
    for reason, holds in (("flat", flat), ("blurred", blurred)):
        found[reason] = {int(i): int(i) for i in np.flatnonzero(holds)}
    if reduced:
        _find_by_distance(np.concatenate(reduced), flat | blurred, found)
    return found


def _reduction(network: ActivationNetwork, count: int, read: Callable[[int], UInt8]) -> Callable[[UInt8], Floats]:
    """Pictures to principal components of standardised activations, learnt from at most _FITTED pictures."""
    chosen = np.unique(np.linspace(0, count - 1, min(count, _FITTED)).astype(int))
    blocks = [chosen[start : start + _BLOCK] for start in range(0, len(chosen), _BLOCK)]
    seen = np.concatenate([network(np.stack([read(int(i)) for i in block])) for block in blocks])
    components = PCA(min(_COMPONENTS, *seen.shape), svd_solver="randomized", random_state=0)
    pipeline = make_pipeline(StandardScaler(), components).fit(seen)
    return lambda pictures: np.asarray(pipeline.transform(network(pictures)), np.float32)


def _contrast_and_sharpness(pictures: UInt8) -> tuple[Floats, Floats]:
    """The deviation of grey levels, and that of their Laplacian for each level of contrast: float32 [N] each."""
    grey = pictures.astype(np.float32) @ np.array(GREY, np.float32)
    neighbours = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    laplacian = neighbours - 4 * grey[:, 1:-1, 1:-1]
    contrast = grey.std(axis=(1, 2))
    return contrast, laplacian.std(axis=(1, 2)) / (contrast + 1)


def _find_by_distance(features: Floats, gone: npt.NDArray[np.bool_], found: dict[str, dict[int, int]]) -> None:
    """Add the pictures without a face, and copies of one that comes before and stays. gone: those that went already."""
    radius = float(np.median(np.linalg.norm(features - features.mean(axis=0), axis=1)))
    nearest = NearestNeighbors(n_neighbors=_NEIGHBOURS + 1, algorithm="brute").fit(features)
    distances, numbers = nearest.kneighbors(features)  # the first is the picture itself or an exact copy
    for i in np.flatnonzero(~gone & (distances[:, -1] > NO_FACE * radius)):
        found["no face"][int(i)] = int(i)
        gone[i] = True
    for i in np.flatnonzero(~gone):
        copies = numbers[i][distances[i] < DUPLICATE * radius]
        earlier = [int(j) for j in copies if j < i and not gone[j]]
        if earlier:
            found["duplicate"][int(i)] = earlier[0]
            gone[i] = True
