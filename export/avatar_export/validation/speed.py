"""How long networks take, measured alternately, so that what disturbs one disturbs all."""

import time
from collections.abc import Mapping

import numpy as np

from avatar_export.validation.parity import Network, parity_latents

SECONDS = 1.0
"""How long each measurement goes on at least."""
TURNS = 5
"""How often it is each network's turn at least; a turn takes SECONDS / TURNS / 4, or four runs if they take longer."""


def latency(networks: Mapping[str, Network], latent_dim: int, batch: int = 1) -> dict[str, float]:
    """Median milliseconds that each network takes for one batch of `batch` latents, after two to warm up."""
    z = parity_latents(latent_dim)[:batch]
    for network in [*networks.values()] * 2:
        network(z)
    taken: dict[str, list[float]] = {name: [] for name in networks}
    ends = time.perf_counter() + SECONDS * len(networks)
    turns = 0
    while turns < TURNS or time.perf_counter() < ends:
        turns += 1
        for name, network in networks.items():
            runs: list[float] = []
            turn_ends = time.perf_counter() + SECONDS / TURNS / 4
            while len(runs) < 4 or time.perf_counter() < turn_ends:
                start = time.perf_counter()
                network(z)
                runs.append(time.perf_counter() - start)
            # At first the last network's threads still spin, as onnxruntime's and MindSpore's do for a while, and the
            # caches are its: fp32 seemed to take 3.6 ms at batch size 1 where it takes 1.5.
            taken[name] += runs[len(runs) // 2 :]
    return {name: float(np.median(times)) * 1000 for name, times in taken.items()}
