"""A pair of networks between two others: every weight a weighted mean of theirs.

Fine-tuning with a reward trades variety for whole faces. A network between those before and after it makes a better
trade than either: M. Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022, section 3, who
interpolate a network and its fine-tuned version in the same way. The two must share their history; the mean of
unrelated networks draws nothing.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from avatar_training.errors import TrainingError
from avatar_training.run_folder import checkpoint
from avatar_training.run_folder.changed_pair import new_folder, write_pair
from avatar_training.run_folder.record import read_record

_NETWORKS = ("generator.ckpt", "discriminator.ckpt")


def interpolate(start: Path, end: Path, share: float, out: Path) -> None:
    """Write generator.ckpt, discriminator.ckpt and config.json of the pair at `share` of the way from start to end.

    start and end are folders of trained pairs, out is a new one. The steps and config.json are end's.

    Raises:
        TrainingError: share is not in [0, 1], out exists, or end has no config.json.
        CheckpointError: a network cannot be read, or start and end hold different parameters.
        OutputError: out cannot be written.
    """
    if not 0 <= share <= 1:
        raise TrainingError(f"the share of the second pair is {share:g}; give a number from 0 to 1")
    with new_folder(out) as new:
        record = read_record(end)
        if record is None:
            raise TrainingError(f"{end} holds no config.json; name the folder of a run or of a trained pair")
        generator, discriminator = (_mixed(start / network, end / network, share) for network in _NETWORKS)
        history = {"start": start.name, "end": end.name, "share": share}
        write_pair(new, generator, discriminator, {**record, "interpolation": history})


def _mixed(start: Path, end: Path, share: float) -> checkpoint.Arrays:
    first, second = checkpoint.read(start), checkpoint.read(end)
    shapes = [{name: array.shape for name, array in arrays.items()} for arrays in (first, second)]
    if shapes[0] != shapes[1]:
        different = sorted(name for name, _ in shapes[0].items() ^ shapes[1].items())
        raise checkpoint.CheckpointError(f"{start} and {end} are not of one network: they differ in {different[0]}")
    return {name: _between(first[name], second[name], share) for name in second}


def _between(first: npt.NDArray[Any], second: npt.NDArray[Any], share: float) -> npt.NDArray[Any]:
    """The weighted mean; counts are the second's."""
    if not np.issubdtype(second.dtype, np.floating):
        return second
    return np.asarray(first * (1 - share) + second * share, second.dtype)
