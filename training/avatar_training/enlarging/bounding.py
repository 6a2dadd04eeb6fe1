"""Bound the activations of a trained generator: its faces stay as they are, and int8 exports come nearer to them.

Of a channel's values over ten thousand faces, the largest is two to four times what 99% stay below. Eight bits that
reach so far leave two bits less for the rest, and other faces go farther still, where int8 cuts them off. A bounded
generator cuts them off itself, before anything is rounded (`networks.bounded`).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from mindspore import Tensor

from avatar_training.errors import TrainingError
from avatar_training.networks.bounded import BOUND
from avatar_training.networks.generator import Generator
from avatar_training.run_folder import checkpoint
from avatar_training.run_folder.changed_pair import new_folder, write_pair
from avatar_training.steering.drawing import Drawing

Floats = npt.NDArray[np.float32]

BEYOND = 0.001
"""Share of a channel's values that lie beyond the bound, and are cut off."""
LEAST = 0.02
"""The bound is not below this share of a channel's largest value."""
FACES = 512
"""Of so many faces the values are measured."""

_BATCH = 32


def bound_pair(folder: Path, out: Path) -> float:
    """Write generator.ckpt, discriminator.ckpt and config.json of a pair whose generator is bounded.

    Args:
        folder: a run's or a trained pair's, which is not bounded.
        out: a new folder.

    Returns:
        How near the new faces come to the old ones, in decibels.

    Raises:
        TrainingError: out exists, or the generator is bounded already.
        CheckpointError: the pair cannot be read.
        OutputError: out cannot be written.
    """
    with new_folder(out) as new:
        drawing = Drawing(folder)
        if checkpoint.is_bounded(drawing.arrays):
            raise TrainingError(f"the generator in {folder} is bounded already")
        discriminator = checkpoint.read(folder / "discriminator.ckpt")
        generator = bound(drawing.arrays, drawing.generator, drawing.mapped_series("bound", FACES))
        config = drawing.config.with_changes(bounded=True)
        write_pair(new, generator, discriminator, {**drawing.record, "config": config.to_dict()})
        w = drawing.mapped_series("bounded", FACES)
        difference = drawing.draw_mapped(w).astype(np.float64) - Drawing(new).draw_mapped(w)
    return float(10 * np.log10(255**2 / np.square(difference).mean()))


def bound(arrays: checkpoint.Arrays, generator: Generator, w: Floats) -> dict[str, npt.NDArray[Any]]:
    """Scale each channel before a ReLU so that BEYOND of its values exceed 1, and scale it back where it is read.

    A bounded generator with these arrays draws the same faces, but for the values that are cut off.

    Args:
        arrays: by name, with those of the generator.
        generator: with these arrays, not bounded, channels first, in inference mode.
        w: what the first layer gets for the faces by which to measure, float32 [N, latent_dim].
    """
    new: dict[str, npt.NDArray[Any]] = {name: np.array(array) for name, array in arrays.items()}
    for norm, level in _levels(generator, w).items():
        factor = (BOUND / level).astype(np.float32)
        place = norm.rpartition(".")[0]
        if norm.endswith("norm1"):
            norms, readers = [norm], {f"{place}.conv2.weight": 1}
        else:
            layer = int(norm.split(".")[1]) // 3
            blocks = [f"residual_blocks.{layer}.{j}" for j in range(len(generator.residual_blocks[layer]))]
            norms = [norm, *(f"{block}.norm2" for block in blocks)]
            readers = {f"generator.{3 * layer + 3}.weight": 0} | {f"{block}.conv1.weight": 1 for block in blocks}
        for name in norms:
            new[f"{name}.gamma"] *= factor
            new[f"{name}.beta"] *= factor
        for name, axis in readers.items():
            new[name] /= factor.reshape((-1, *[1] * (3 - axis)))
    return new | {"activation_bound": np.array(BOUND, np.int32)}


def _levels(generator: Generator, w: Floats) -> Mapping[str, Floats]:
    """For each batch norm before a ReLU: what BEYOND of each channel's values exceed, float32 [C]."""
    values: dict[str, list[Floats]] = {}
    for start in range(0, len(w), _BATCH):
        for name, x in _hidden(generator, Tensor(w[start : start + _BATCH, :, None, None])):
            by_channel = x.asnumpy().swapaxes(0, 1)
            values.setdefault(name, []).append(by_channel.reshape(len(by_channel), -1))
    levels = {}
    for name, parts in values.items():
        all_values = np.concatenate(parts, axis=1)
        levels[name] = np.maximum(np.quantile(all_values, 1 - BEYOND, axis=1), LEAST * all_values.max(axis=1))
        levels[name] = np.where(levels[name] > 0, levels[name], BOUND)  # a channel that is always 0 stays
    return levels


def _hidden(generator: Generator, w: Tensor) -> Iterator[tuple[str, Tensor]]:
    """What each ReLU gives for w [N, latent_dim, 1, 1], with the name of the batch norm before it."""
    x = w
    for i, cell in enumerate(generator.generator[:-2]):
        x = cell(x)
        if i % 3 == 2:
            yield f"generator.{i - 1}", x
            for j, block in enumerate(generator.residual_blocks[i // 3]):
                yield f"residual_blocks.{i // 3}.{j}.norm1", block.relu(block.norm1(block.conv1(x)))
                x = block(x)
