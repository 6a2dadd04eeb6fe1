"""Images to feature vectors by an ONNX network, which metrics compare instead of pixels."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from avatar_runtime.errors import AvatarError, ModelFileError
from avatar_runtime.imaging.arrays import UInt8, to_pil
from avatar_runtime.model_file.reading import read_file
from avatar_training.errors import shortened
from avatar_training.onnx_session import open_session

Features = npt.NDArray[np.float32]

_BATCH = 32


class FeaturesError(AvatarError):
    """A file is not a feature network."""


class FeatureNetwork:
    """Images to feature vectors by an ONNX file, on the CPU.

    Its input is [N, 3, H, W] or [N, H, W, 3], uint8 (it gets levels, 0 to 255) or float32 (it gets levels / 255, so 0
    to 1: a network that wants another scale must hold it). Where H or W is a number images are resized to it (bicubic,
    antialiased); where N is one they come in batches of that many. The first output is the features, [N, D]. Raises
    FeaturesError if the file cannot be read or does not fit.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.sha256 = hashlib.sha256(read_file(path)).hexdigest()
            self._session = open_session(str(path))
        except ModelFileError as err:
            raise FeaturesError(f"cannot use the feature network {path}: {err}") from err
        except Exception as err:  # onnxruntime raises a dozen unrelated classes, bare RuntimeError among them
            raise FeaturesError(f"{path} is not an ONNX model that onnxruntime can load ({shortened(err)})") from err
        inputs = self._session.get_inputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        fits = len(shape) == 4 and 3 in (shape[1], shape[3]) and inputs[0].type in ("tensor(uint8)", "tensor(float)")
        if not fits:
            found = " and ".join(f"{value.type} {value.shape}" for value in inputs) or "nothing"
            raise FeaturesError(f"{path} takes {found}, not [N, 3, H, W] or [N, H, W, 3] of uint8 or float")
        self._name, self._float = inputs[0].name, inputs[0].type == "tensor(float)"
        self._channels_first = shape[1] == 3
        self._size = shape[2:] if self._channels_first else shape[1:3]
        self._batch, self._fixed = (shape[0], True) if isinstance(shape[0], int) else (_BATCH, False)
        self(np.zeros((1, 64, 64, 3), np.uint8))  # the shape of its output is known only after a run

    def __call__(self, images: UInt8) -> Features:
        """The features of images uint8 [N, H, W, C], grey or RGB: float32 [N, D]. Raises FeaturesError."""
        return np.concatenate(
            [self._run(images[start : start + self._batch]) for start in range(0, len(images), self._batch)]
        )

    def _run(self, images: UInt8) -> Features:
        batch = self._prepare(images)
        if self._fixed:
            batch = np.resize(batch, (self._batch, *batch.shape[1:]))  # fill a short batch with copies of its images
        try:
            features = np.asarray(self._session.run(None, {self._name: batch})[0], np.float32)
        except Exception as err:  # as above
            raise FeaturesError(f"{self.path} cannot run ({shortened(err)})") from err
        if features.ndim != 2 or len(features) != len(batch):
            raise FeaturesError(f"{self.path} gives {list(features.shape)} for {len(batch)} images, not [N, features]")
        return features[: len(images)]

    def _prepare(self, images: UInt8) -> npt.NDArray[Any]:
        sides = zip(self._size, images.shape[1:3], strict=True)
        height, width = (side if isinstance(side, int) else own for side, own in sides)
        if images.shape[1:3] != (height, width):
            resized = (to_pil(image).resize((width, height), Image.Resampling.BICUBIC) for image in images)
            images = np.stack([np.asarray(image).reshape(height, width, -1) for image in resized])
        images = np.broadcast_to(images, (*images.shape[:3], 3))  # grey becomes RGB
        if self._channels_first:
            images = images.transpose(0, 3, 1, 2)  # [N, 3, H, W]
        return images.astype(np.float32) / np.float32(255) if self._float else np.ascontiguousarray(images)
