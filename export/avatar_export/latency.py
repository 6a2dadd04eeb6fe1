"""How long networks take, measured alternately, so that what disturbs one disturbs all."""

import time
from collections.abc import Mapping

import numpy as np

from avatar_export.parity import Network, parity_latents

SECONDS = 1.0
"""How long each measurement goes on at least."""
TURNS = 5
"""How often it is each network's turn at least."""
RUNS = 4
"""Runs of a turn. The first does not count: the last network's threads still spin, for onnxruntime's and MindSpore's do
so for a while, and the caches are its. Without that fp32 seemed to take 3.3 ms at batch size 1 where it takes 1.8."""


def latency(networks: Mapping[str, Network], latent_dim: int, batch: int = 1) -> dict[str, float]:
    """Median milliseconds that each network takes for one batch of `batch` latents, after two to warm up."""
    z = parity_latents(latent_dim)[:batch]
    for network in [*networks.values()] * 2:
        network(z)
    taken: dict[str, list[float]] = {name: [] for name in networks}
    end = time.perf_counter() + SECONDS * len(networks)
    while time.perf_counter() < end or min(map(len, taken.values())) < TURNS * (RUNS - 1):
        for name, network in networks.items():
            network(z)
            for _ in range(RUNS - 1):
                start = time.perf_counter()
                network(z)
                taken[name].append(time.perf_counter() - start)
    return {name: float(np.median(times)) * 1000 for name, times in taken.items()}
