"""A generator's checkpoint as plain arrays, with the architecture read from their shapes. Imports no MindSpore."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from avatar_export.source.find_generator import NORM, AnyArray, Group, UnsuitableCheckpointError, find_generator

Array = npt.NDArray[np.float32]

PIXEL_RANGES: Mapping[str, tuple[float, float]] = {"-1..1": (-1.0, 1.0), "0..1": (0.0, 1.0)}

BOUND = 1.0
"""The most that a ReLU of a bounded generator gives."""
MAX_LAYERS = 8
"""Layers of the largest generator: one more doubles the image, 512x512 is the largest."""
MAX_ACTIVATIONS = 2**22
"""Numbers that one layer may compute for one image: 64 images then take 1 GB. 128x128 with ngf 64 computes 2^18."""

_BLOCKS = "residual_blocks."
_LATENT_MAP = ("latent_map.weight", "latent_map.bias")
_BOUND = "activation_bound"


@dataclass(frozen=True)
class BatchNorm:
    """A batch normalisation in inference mode; each array is float32 [channels]."""

    gamma: Array
    beta: Array
    mean: Array
    variance: Array


@dataclass(frozen=True)
class Block:
    """A residual block of the refined generator: x -> x + norm2(conv2(relu(norm1(conv1(x)))))."""

    conv1: Array  # [inside, width, 3, 3]
    norm1: BatchNorm
    conv2: Array  # [width, inside, 1, 1]
    norm2: BatchNorm


@dataclass(frozen=True)
class Layer:
    """A 4x4 transposed convolution, its batch norm, which the last layer does not have, and the blocks after that."""

    weight: Array  # [in, out, 4, 4]
    norm: BatchNorm | None
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class LatentMap:
    """An affine map of the latent before the first layer, which steering adds: z -> weight @ z + bias."""

    weight: Array  # [latent_dim, latent_dim]
    bias: Array  # [latent_dim]


@dataclass(frozen=True)
class GeneratorWeights:
    """A DCGAN generator: its layers, first to last, and the values of black and white in its output."""

    layers: tuple[Layer, ...]
    pixel_range: tuple[float, float]
    sha256: str
    """Digest of the checkpoint file."""
    steps: int | None = None
    """How many steps it was trained for, if the checkpoint says."""
    bounded: bool = False
    """Whether no ReLU gives more than 1."""
    latent_map: LatentMap | None = None
    """The map that steering has added, if any."""
    prefix: str = "generator."
    """What the names of its arrays begin with in the checkpoint."""

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

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays under the names that `avatar_training.networks.Generator` gives them."""
        named: dict[str, npt.NDArray[Any]] = {}
        if self.latent_map is not None:
            named |= zip(_LATENT_MAP, (self.latent_map.weight, self.latent_map.bias), strict=True)
        if self.bounded:
            named[_BOUND] = np.array(BOUND, np.int32)
        for i, layer in enumerate(self.layers):
            named[f"generator.{3 * i}.weight"] = layer.weight
            if layer.norm is not None:
                named |= _named(layer.norm, f"generator.{3 * i + 1}")
            for j, block in enumerate(layer.blocks):
                place = f"{_BLOCKS}{i}.{j}"
                named |= {f"{place}.conv1.weight": block.conv1, f"{place}.conv2.weight": block.conv2}
                named |= _named(block.norm1, f"{place}.norm1") | _named(block.norm2, f"{place}.norm2")
        return named


def _named(norm: BatchNorm, place: str) -> dict[str, Array]:
    arrays = (norm.gamma, norm.beta, norm.mean, norm.variance)
    return {f"{place}.{kind}": array for kind, array in zip(NORM, arrays, strict=True)}


def generator_weights(
    arrays: Mapping[str, AnyArray],
    sha256: str = "",
    pixel_range: tuple[float, float] | None = None,
    prefix: str | None = None,
) -> GeneratorWeights:
    """Read a generator from named arrays.

    Args:
        arrays: All arrays of a checkpoint, by name.
        sha256: Digest of the checkpoint file.
        pixel_range: Overrides the checkpoint's own. The tutorial's checkpoints have none, so it must be given.
        prefix: What the names of the generator's arrays begin with; needed only if there are several generators.

    Raises:
        UnsuitableCheckpointError: The arrays are not a DCGAN generator, too large, not finite, or do not fit together.
    """
    if prefix is None and any(name.startswith("ema.") for name in arrays):
        raise UnsuitableCheckpointError("it is a snapshot for resuming; give the run folder or its generator.ckpt")
    prefix, group = find_generator(arrays, prefix)
    if any(kind == "running_mean" for _, kind in group):
        raise UnsuitableCheckpointError("it is from PyTorch (it has running_mean); give a checkpoint of MindSpore")
    cell = re.sub(r"[^.]*\.$", "", prefix)  # of "network.generator." it is "network."
    layers = _with_blocks(_layers(prefix, group), arrays, cell + _BLOCKS)
    weights = GeneratorWeights(
        layers,
        pixel_range or _stored_range(arrays),
        sha256,
        _stored_steps(arrays),
        _stored_bound(arrays, cell),
        _latent_map(arrays, cell, layers[0].weight.shape[0]),
        prefix,
    )
    known = {name.removeprefix("generator.") for name in weights.arrays()}
    if strange := sorted(f"{prefix}{place}.{kind}" for place, kind in group if f"{place}.{kind}" not in known):
        raise UnsuitableCheckpointError(f"a DCGAN generator has no {', '.join(strange)}")
    return weights


def _layers(prefix: str, group: Group) -> tuple[Layer, ...]:
    """The layers, checked by their shapes before any number is read."""
    places = sorted(place for place, kind in group if kind == "weight")
    if places != list(range(0, 3 * len(places), 3)) or len(places) < 2:
        raise UnsuitableCheckpointError(f"its transposed convolutions are at {places}; a DCGAN has them at 0, 3, 6, …")
    if len(places) > MAX_LAYERS:
        raise UnsuitableCheckpointError(
            f"it has {len(places)} layers, for images of 2^{len(places) + 1} pixels a side; the most is {MAX_LAYERS}, "
            f"for {4 * 2 ** (MAX_LAYERS - 1)}"
        )
    shapes = [group[place, "weight"].shape for place in places]
    for i, (place, shape) in enumerate(zip(places, shapes, strict=True)):
        name = f"{prefix}{place}.weight"
        if len(shape) != 4 or shape[2:] != (4, 4) or 0 in shape:
            raise UnsuitableCheckpointError(
                f"{name} has shape {list(shape)}; a transposed convolution's is [in, out, 4, 4]"
            )
        side = 4 * 2**i
        if shape[1] > (most := MAX_ACTIVATIONS // side**2):
            raise UnsuitableCheckpointError(f"{name} makes {shape[1]} channels of {side}x{side}; the most is {most}")
    for place, (shape, following) in zip(places, pairwise(shapes), strict=False):
        if shape[1] != following[0]:
            raise UnsuitableCheckpointError(
                f"{prefix}{place}.weight gives {shape[1]} channels, {prefix}{place + 3}.weight takes {following[0]}"
            )
    if shapes[-1][1] not in (1, 3):
        raise UnsuitableCheckpointError(f"its images have {shapes[-1][1]} channels; 1 or 3 can be shown")
    weights = [_finite(f"{prefix}{place}.weight", group[place, "weight"]) for place in places]
    norms = [
        _batch_norm(f"{prefix}{place + 1}", {kind: group.get((place + 1, kind)) for kind in NORM}, shape[1])
        for place, shape in zip(places, shapes[:-1], strict=False)
    ]
    return tuple(Layer(weight, norm) for weight, norm in zip(weights, [*norms, None], strict=True))


def _with_blocks(layers: tuple[Layer, ...], arrays: Mapping[str, AnyArray], prefix: str) -> tuple[Layer, ...]:
    """The layers with the residual blocks that the arrays have for them, in places 0, 1, … of each layer."""
    own = {name for name in arrays if name.startswith(prefix)}
    refined = []
    for i, layer in enumerate(layers):
        blocks: list[Block] = []
        while places := {name for name in own if name.startswith(f"{prefix}{i}.{len(blocks)}.")}:
            if layer.norm is None:
                break
            blocks.append(_block(f"{prefix}{i}.{len(blocks)}", arrays, layer.weight.shape[1]))
            own -= places
        refined.append(replace(layer, blocks=tuple(blocks)))
    if own:
        raise UnsuitableCheckpointError(f"a DCGAN generator has no {', '.join(sorted(own)[:4])}")
    return tuple(refined)


def _block(place: str, arrays: Mapping[str, AnyArray], width: int) -> Block:
    inside = np.shape(arrays.get(f"{place}.conv1.weight", np.zeros(1)))[0]
    shapes = {f"{place}.conv1.weight": (inside, width, 3, 3), f"{place}.conv2.weight": (width, inside, 1, 1)}
    conv1, conv2 = (_finite(name, _of_shape(name, arrays.get(name), shape)) for name, shape in shapes.items())
    norms = [
        _batch_norm(f"{place}.{name}", {kind: arrays.get(f"{place}.{name}.{kind}") for kind in NORM}, channels)
        for name, channels in (("norm1", inside), ("norm2", width))
    ]
    return Block(conv1, norms[0], conv2, norms[1])


def _batch_norm(place: str, found: Mapping[str, AnyArray | None], channels: int) -> BatchNorm:
    arrays = [_finite(f"{place}.{k}", _of_shape(f"{place}.{k}", found[k], (channels,))) for k in NORM]
    if (arrays[-1] < 0).any():
        raise UnsuitableCheckpointError(f"{place}.moving_variance holds negative numbers")
    return BatchNorm(*arrays)


def _latent_map(arrays: Mapping[str, AnyArray], cell: str, latent_dim: int) -> LatentMap | None:
    names = [cell + name for name in _LATENT_MAP]
    if not any(name in arrays for name in names):
        return None
    shapes: tuple[tuple[int, ...], ...] = ((latent_dim, latent_dim), (latent_dim,))
    return LatentMap(*(_finite(n, _of_shape(n, arrays.get(n), s)) for n, s in zip(names, shapes, strict=True)))


def _of_shape(name: str, array: AnyArray | None, shape: tuple[int, ...]) -> AnyArray:
    if array is None or array.shape != shape:
        state = "is missing" if array is None else f"has shape {list(array.shape)}"
        raise UnsuitableCheckpointError(f"{name} {state}; it should have shape {list(shape)}")
    return array


def _finite(name: str, array: AnyArray) -> Array:
    if array.dtype.kind != "f":
        raise UnsuitableCheckpointError(f"{name} holds numbers of the type {array.dtype}, not floating-point ones")
    with np.errstate(over="ignore"):  # of float64
        converted = np.asarray(array, np.float32)
    if not np.isfinite(converted).all():
        raise UnsuitableCheckpointError(f"{name} holds NaN or infinity: the training diverged")
    return converted


def _stored_bound(arrays: Mapping[str, AnyArray], cell: str) -> bool:
    """Whether the ReLUs are bounded."""
    stored = arrays.get(cell + _BOUND)
    if stored is not None and np.ravel(stored).tolist() != [BOUND]:
        shown = ", ".join(map(str, np.ravel(stored).tolist()[:4])) or "empty"
        raise UnsuitableCheckpointError(f"{cell}{_BOUND} is {shown}; it can only be {BOUND:g}")
    return stored is not None


def _stored_steps(arrays: Mapping[str, AnyArray]) -> int | None:
    if "steps" not in arrays:
        return None
    values = np.ravel(arrays["steps"]).tolist()
    if len(values) != 1 or not isinstance(values[0], int | float) or not 0 <= values[0] < 2**63 or values[0] % 1:
        shown = ", ".join(map(str, values[:4]))
        raise UnsuitableCheckpointError(
            f"its number of training steps is not one whole number but {shown or 'nothing'}"
        )
    return int(values[0])


def _stored_range(arrays: Mapping[str, AnyArray]) -> tuple[float, float]:
    stored = arrays.get("pixel_range")
    if stored is None:
        raise UnsuitableCheckpointError(
            "it does not say what range its pixels have; give --pixel-range 0..1 for the tutorial's own checkpoints, "
            "-1..1 for most others"
        )
    for pixel_range in PIXEL_RANGES.values():
        if np.array_equal(stored, pixel_range):
            return pixel_range
    shown = ", ".join(map(str, np.ravel(stored).tolist()[:4]))
    raise UnsuitableCheckpointError(f"its pixel range is {shown or 'empty'}, not one of {', '.join(PIXEL_RANGES)}")
