"""Draws faces with a checkpoint or a model file, to be graded or measured."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mindspore import Tensor

from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.imaging.arrays import UInt8, from_network
from avatar_runtime.latents import latents, series
from avatar_training.config import TrainConfig
from avatar_training.errors import TrainingError
from avatar_training.run_folder import checkpoint
from avatar_training.run_folder.record import read_record
from avatar_training.steering.activations import Floats

MAP_WEIGHT, MAP_BIAS = "latent_map.weight", "latent_map.bias"
"""The parameters of a map of latents before the first layer: z @ weight.T + bias, as nn.Dense computes it."""

_BATCH = 64

Watch = Callable[[list[list[str]]], Iterable[list[str]]]
"""Passes batches of names through as they are drawn, for a progress bar."""


class Drawing:
    """The generator in a run's folder, on the CPU. Raises CheckpointError or TrainingError if there is none."""

    def __init__(self, folder: Path) -> None:
        run = read_record(folder)
        if run is None:
            raise TrainingError(f"{folder} holds no config.json; name the folder of a run or of a trained pair")
        self.folder, self.record = folder, run
        self.config = TrainConfig.from_dict(run["config"])
        path = folder / "generator.ckpt"
        data = checkpoint.read_bytes(path)
        self.arrays = checkpoint.parse(path, data)
        pixel_range = np.ravel(self.arrays.get("pixel_range", ())).tolist()
        if len(pixel_range) != 2:
            raise checkpoint.CheckpointError(f"{path} does not say what black and white are: it has no pixel_range")
        self._pixel_range = (float(pixel_range[0]), float(pixel_range[1]))
        self.model = hashlib.sha256(data).hexdigest()
        """SHA-256 of generator.ckpt: the id of the model that draws."""
        dim = self.config.latent_dim
        self.weight: Floats = np.asarray(self.arrays.get(MAP_WEIGHT, np.eye(dim)), np.float32)
        self.bias: Floats = np.asarray(self.arrays.get(MAP_BIAS, np.zeros(dim)), np.float32)
        if self.weight.shape != (dim, dim) or self.bias.shape != (dim,):
            raise checkpoint.CheckpointError(f"{folder}: the latent map does not fit latents of {dim} numbers")
        layers = {name: array for name, array in self.arrays.items() if name not in (MAP_WEIGHT, MAP_BIAS)}
        shape = (self.config.image_size, self.config.channels, dim, self.config.ngf)
        self.generator = checkpoint.generator_cell(layers, *shape, exact_tanh=False)
        """It without the map of latents, for inference."""

    def with_map(self, weight: Floats, bias: Floats) -> checkpoint.Arrays:
        """The parameters of generator.ckpt, with this map of latents instead of its own."""
        return {**self.arrays, MAP_WEIGHT: weight, MAP_BIAS: bias}

    def mapped(self, z: Floats) -> Floats:
        """What the first layer gets for latents float32 [N, latent_dim]."""
        return z @ self.weight.T + self.bias

    def mapped_series(self, title: str, count: int) -> Floats:
        """What the first layer gets for the faces `title/0`, `title/1`, …: float32 [count, latent_dim]."""
        return self.mapped(latents(list(series(title, count)), self.config.latent_dim))

    def draw(self, z: Floats) -> UInt8:
        """Pictures for latents float32 [N, latent_dim]: uint8 [N, H, W, C]."""
        return self.draw_mapped(self.mapped(z))

    def draw_mapped(self, w: Floats) -> UInt8:
        """Pictures for what the first layer gets, float32 [N, latent_dim]: uint8 [N, H, W, C]."""
        parts = []
        for start in range(0, len(w), _BATCH):
            batch = np.resize(w[start : start + _BATCH], (_BATCH, w.shape[1]))  # one shape, so that it compiles once
            parts.append(self.generator(Tensor(batch[..., None, None])).asnumpy()[: len(w) - start])
        return from_network(np.concatenate(parts), self._pixel_range)


@dataclass(frozen=True)
class Drawn:
    """Faces of a series, and the model that drew them."""

    names: list[str]
    images: UInt8
    """[N, H, W, C]."""
    model: str
    """SHA-256 of the file."""


def draw_checkpoint(folder: Path, title: str, count: int, watch: Watch = iter) -> Drawn:
    """The faces `title/0`, `title/1`, … of a run's folder. Raises CheckpointError or TrainingError."""
    drawing = Drawing(folder)
    names = list(series(title, count))
    chunks = [names[start : start + _BATCH] for start in range(0, count, _BATCH)]
    images = [drawing.draw(latents(chunk, drawing.config.latent_dim)) for chunk in watch(chunks)]
    return Drawn(names, np.concatenate(images), drawing.model)


def draw_model(path: Path, title: str, count: int, watch: Watch = iter) -> Drawn:
    """The faces `title/0`, `title/1`, … of a model file. Raises ModelFileError."""
    names = list(series(title, count))
    with AvatarGenerator.load(path) as generator:
        chunks = [names[start : start + _BATCH] for start in range(0, count, _BATCH)]
        images = [generator.generate(chunk) for chunk in watch(chunks)]
        return Drawn(names, np.concatenate(images), generator.model_sha256)
