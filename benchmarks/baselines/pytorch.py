"""PyTorch as its users run it: eager, channels last, or torch.compile; inference mode, float32."""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.suite.models import WEIGHTS, Models
from benchmarks.suite.process import Network

_NAMES = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def generator(weights: Any) -> nn.Sequential:
    """Build the same network from the arrays of a MindSpore checkpoint."""
    own = {name: array for name, array in weights.items() if not name.startswith("latent_map.")}
    shapes = [own[name].shape for name in sorted(own, key=_layer) if name.endswith(".weight")]
    layers: list[nn.Module] = []
    for i, (shape, following) in enumerate(pairwise([*shapes, ()])):
        layers.append(nn.ConvTranspose2d(*shape[:2], 4, *((1, 0) if i == 0 else (2, 1)), bias=False))
        layers += [nn.BatchNorm2d(shape[1]), nn.ReLU(True)] if following else [nn.Tanh()]
    network = nn.Sequential(*layers)
    network.load_state_dict(state_dict(own), strict=False)  # without num_batches_tracked, which nothing reads
    if len(own) < len(weights):
        network = nn.Sequential(_latent_map(weights), network)
    return network.eval()


def _latent_map(weights: Any) -> nn.Conv2d:
    """The affine map of a steered generator, for latents [N, latent_dim, 1, 1]."""
    weight, bias = (torch.from_numpy(np.asarray(weights[f"latent_map.{part}"])) for part in ("weight", "bias"))
    layer = nn.Conv2d(*weight.shape, 1)
    layer.load_state_dict({"weight": weight[:, :, None, None], "bias": bias})
    return layer


def state_dict(weights: Any) -> dict[str, torch.Tensor]:
    """Rename the arrays of a MindSpore checkpoint as in an nn.Sequential of the same layers."""
    state = {}
    for name, array in weights.items():
        _, layer, kind = name.split(".")
        state[f"{layer}.{_NAMES.get(kind, kind)}"] = torch.from_numpy(np.asarray(array))
    return state


def _layer(name: str) -> int:
    return int(name.split(".")[1])


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
