"""PyTorch as its users run it: eager, channels last, or torch.compile; inference mode, float32."""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.suite.models import WEIGHTS, Models
from benchmarks.suite.process import Network

_NAMES = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


class Generator(nn.Module):
    """The network of a MindSpore checkpoint, whose names it has: with a latent map, blocks and bounds if that has."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        kernels = [
            shape
            for name, shape in sorted(shapes.items(), key=_layer)
            if name.startswith("generator.") and len(shape) == 4
        ]
        self.latent_map = nn.Linear(kernels[0][0], kernels[0][0]) if "latent_map.weight" in shapes else nn.Identity()
        relu = nn.Hardtanh(0.0, 1.0, inplace=True) if "activation_bound" in shapes else nn.ReLU(True)
        layers: list[nn.Module] = []
        blocks: list[nn.Module] = []
        for i, (shape, following) in enumerate(pairwise([*kernels, ()])):
            layers.append(nn.ConvTranspose2d(*shape[:2], 4, *((1, 0) if i == 0 else (2, 1)), bias=False))
            layers += [nn.BatchNorm2d(shape[1]), relu] if following else [nn.Tanh()]
            count = len({name for name in shapes if re.fullmatch(rf"residual_blocks\.{i}\.\d+\.conv1\.weight", name)})
            inside = shapes[f"residual_blocks.{i}.0.conv1.weight"][0] if count else 0
            blocks.append(nn.Sequential(*(_Block(shape[1], inside, relu) for _ in range(count))))
        self.generator, self.residual_blocks = nn.Sequential(*layers), nn.ModuleList(blocks)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Latents [N, latent_dim, 1, 1] to images [N, C, S, S]."""
        x = self.latent_map(z.flatten(1))[..., None, None]
        for i, layer in enumerate(self.generator):
            x = layer(x)
            if i % 3 == 2:  # a ReLU
                x = self.residual_blocks[i // 3](x)
        return x


class _Block(nn.Module):
    def __init__(self, width: int, inside: int, relu: nn.Module) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(width, inside, 3, padding=1, bias=False), nn.BatchNorm2d(inside)
        self.conv2, self.norm2 = nn.Conv2d(inside, width, 1, bias=False), nn.BatchNorm2d(width)
        self.relu = relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))


def generator(weights: Any) -> Generator:
    """Build the same network from the arrays of a MindSpore checkpoint."""
    network = Generator({name: array.shape for name, array in weights.items()})
    state = {}
    for name, array in weights.items():
        if name == "activation_bound":
            continue
        place, kind = name.rsplit(".", 1)
        state[f"{place}.{_NAMES.get(kind, kind)}"] = torch.from_numpy(np.asarray(array))
    network.load_state_dict(state, strict=False)  # without num_batches_tracked, which nothing reads
    network.eval()
    return network


def _layer(item: tuple[str, Any]) -> int:
    number = re.match(r"generator\.(\d+)", item[0])
    return int(number[1]) if number else -1


def open_network(models: Models, threads: int, channels_last: bool = False, compiled: bool = False) -> Network:
    """Open it. torch.compile compiles once for each batch size, since shapes are static there."""
    torch.set_num_threads(threads)
    network: Any = generator(dict(np.load(models.folder / WEIGHTS)))
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    if compiled:
        network = torch.compile(network, dynamic=False)

    def run(z: Any) -> Any:
        with torch.inference_mode():
            column = torch.from_numpy(z)[..., None, None]
            if channels_last:
                column = column.contiguous(memory_format=torch.channels_last)
            return network(column).numpy()

    return run
