"""Some of the real faces in a folder or zip, without decoding them all."""

from pathlib import Path

import numpy as np

from avatar_runtime.imaging.arrays import UInt8
from avatar_training.data.decoding import decode
from avatar_training.data.source import DataError, open_source


def real_faces(path: Path, count: int, image_size: int, channels: int, seed: int = 0) -> UInt8:
    """A random choice of images, the same for the same seed: uint8 [count, image_size, image_size, channels].

    Files that are not usable images are passed over, as training does. Raises DataError if fewer than count are left.
    """
    source = open_source(path)
    images: list[UInt8] = []
    for i in np.random.default_rng(seed).permutation(len(source.names)):
        if len(images) == count:
            break
        try:
            images.append(decode(source.read(source.names[i]), image_size, channels))
        except Exception:  # whatever is wrong with one file of thousands
            continue
    if len(images) < count:
        raise DataError(f"{path} holds {len(images)} usable images, {count} are needed")
    return np.stack(images)
