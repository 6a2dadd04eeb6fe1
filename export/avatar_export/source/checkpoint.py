"""A generator's checkpoint as plain arrays, with the architecture read off their shapes. Imports no MindSpore."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from avatar_runtime.errors import AvatarError

Array = npt.NDArray[np.float32]

PIXEL_RANGES: Mapping[str, tuple[float, float]] = {"-1..1": (-1.0, 1.0), "0..1": (0.0, 1.0)}

# The tutorial renames what its optimiser holds: its own checkpoints may say optim_g.generator.0.weight.
_NAME = re.compile(r"(?:optim_g\.)?generator\.(\d+)\.(\w+)")


class UnsuitableCheckpointError(AvatarError):
    """The checkpoint is not a generator's, or not a sound one."""


@dataclass(frozen=True)
class BatchNorm:
    """A batch normalisation in inference; each array is float32 [channels]."""

    gamma: Array
    beta: Array
    mean: Array
    variance: Array


@dataclass(frozen=True)
class Layer:
    """A 4x4 transposed convolution and the batch norm behind it, which the last layer does not have."""

    weight: Array  # [in, out, 4, 4]
    norm: BatchNorm | None


@dataclass(frozen=True)
class GeneratorWeights:
    """A DCGAN generator: its layers, first to last, and what black and white are in its output."""

    layers: tuple[Layer, ...]
    pixel_range: tuple[float, float]
    sha256: str
    """Digest of the checkpoint file."""
    steps: int | None = None
    """Training steps behind it, if the checkpoint says."""

    @property
    def latent_dim(self) -> int:
        """Length of a latent vector."""
        return int(self.layers[0].weight.shape[0])

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return int(self.layers[-1].weight.shape[1])

    @property
    def image_size(self) -> int:
        """The first layer makes 4x4; every other doubles the side."""
        return int(4 * 2 ** (len(self.layers) - 1))

    @property
    def ngf(self) -> int:
        """Width: channels of the last hidden layer."""
        return int(self.layers[-1].weight.shape[0])

    @property
    def architecture(self) -> tuple[int, int, int, int]:
        """image_size, channels, latent_dim and ngf: the arguments of `avatar_training.networks.Generator`."""
        return self.image_size, self.channels, self.latent_dim, self.ngf

    def arrays(self) -> dict[str, Array]:
        """The arrays under the names that `avatar_training.networks.Generator` gives them."""
        named = {}
        for i, layer in enumerate(self.layers):
            named[f"generator.{3 * i}.weight"] = layer.weight
            if layer.norm is not None:
                prefix = f"generator.{3 * i + 1}"
                named |= {f"{prefix}.gamma": layer.norm.gamma, f"{prefix}.beta": layer.norm.beta}
                named |= {f"{prefix}.moving_mean": layer.norm.mean, f"{prefix}.moving_variance": layer.norm.variance}
        return named


def generator_weights(
    arrays: Mapping[str, npt.NDArray[np.generic]], sha256: str = "", pixel_range: tuple[float, float] | None = None
) -> GeneratorWeights:
    """The generator that named arrays describe.

    pixel_range, if given, overrides the checkpoint's own; a checkpoint without one is the tutorial's and must be told.
    Raises UnsuitableCheckpointError if the arrays are no DCGAN generator, do not fit together, or are not finite.
    """
    found: dict[tuple[int, str], Array] = {}
    for name, array in arrays.items():
        if match := _NAME.fullmatch(name):
            if not np.isfinite(array).all():
                raise UnsuitableCheckpointError(f"{name} holds NaN or infinity: the training had diverged")
            found[int(match[1]), match[2]] = np.asarray(array, np.float32)
    if not found:
        raise UnsuitableCheckpointError(_no_generator(arrays))
    if any(name.startswith("ema.") for name in arrays):
        raise UnsuitableCheckpointError("it is a snapshot for resuming; give the run folder or its generator.ckpt")
    indices = sorted(index for index, kind in found if kind == "weight")
    if indices != list(range(0, 3 * len(indices), 3)) or len(indices) < 2:
        raise UnsuitableCheckpointError(f"its transposed convolutions are at {indices}; a DCGAN has them at 0, 3, 6, …")
    layers = tuple(_layer(found, index, last=index == indices[-1]) for index in indices)
    for i, (layer, following) in enumerate(pairwise(layers)):
        if layer.weight.shape[1] != following.weight.shape[0]:
            raise UnsuitableCheckpointError(
                f"generator.{3 * i}.weight gives {layer.weight.shape[1]} channels, "
                f"generator.{3 * i + 3}.weight takes {following.weight.shape[0]}"
            )
    if layers[-1].weight.shape[1] not in (1, 3):
        raise UnsuitableCheckpointError(f"its images have {layers[-1].weight.shape[1]} channels; 1 or 3 can be shown")
    steps = int(arrays["steps"].item()) if "steps" in arrays else None
    weights = GeneratorWeights(layers, pixel_range or _stored_range(arrays), sha256, steps)
    if strange := {f"generator.{index}.{kind}" for index, kind in found} - weights.arrays().keys():
        raise UnsuitableCheckpointError(f"a DCGAN generator has no {', '.join(sorted(strange))}")
    return weights


def _layer(found: Mapping[tuple[int, str], Array], index: int, last: bool) -> Layer:
    weight = found[index, "weight"]
    if weight.ndim != 4 or weight.shape[2:] != (4, 4):
        raise UnsuitableCheckpointError(
            f"generator.{index}.weight has shape {list(weight.shape)}; a transposed convolution's is [in, out, 4, 4]"
        )
    if last:
        return Layer(weight, None)
    norm = []
    for kind in ("gamma", "beta", "moving_mean", "moving_variance"):
        array = found.get((index + 1, kind))
        if array is None or array.shape != (weight.shape[1],):
            state = "is missing" if array is None else f"has shape {list(array.shape)}"
            raise UnsuitableCheckpointError(
                f"generator.{index + 1}.{kind} {state}; it should have shape [{weight.shape[1]}]"
            )
        norm.append(array)
    if (norm[3] < 0).any():
        raise UnsuitableCheckpointError(f"generator.{index + 1}.moving_variance holds negative numbers")
    return Layer(weight, BatchNorm(*norm))


def _stored_range(arrays: Mapping[str, npt.NDArray[np.generic]]) -> tuple[float, float]:
    stored = arrays.get("pixel_range")
    if stored is None:
        raise UnsuitableCheckpointError(
            "it does not say what range its pixels have; give --pixel-range 0..1 for the tutorial's own checkpoints, "
            "-1..1 for most others"
        )
    for pixel_range in PIXEL_RANGES.values():
        if np.array_equal(stored, pixel_range):
            return pixel_range
    raise UnsuitableCheckpointError(f"its pixel range {np.ravel(stored).tolist()} is none of {', '.join(PIXEL_RANGES)}")


def _no_generator(arrays: Mapping[str, npt.NDArray[np.generic]]) -> str:
    if any(name.startswith(("discriminator.", "optim_d.discriminator.")) for name in arrays):
        return "it is a discriminator's checkpoint; give the generator's, generator.ckpt of the same run"
    return (
        f"it holds no generator: no array named generator.0.weight among {', '.join(list(arrays)[:4]) or 'none at all'}"
    )
