"""How long networks take, measured alternately, so that what disturbs one disturbs all."""

import time
from collections.abc import Mapping

import numpy as np

from avatar_export.parity import Network, parity_latents

SECONDS = 1.0
"""How long each measurement goes on at least."""
ROUNDS = 10
"""How often each network is run at least."""


def latency(networks: Mapping[str, Network], latent_dim: int, batch: int = 1) -> dict[str, float]:
    """Median milliseconds that each network takes for one batch of `batch` latents, after two to warm up."""
    z = parity_latents(latent_dim)[:batch]
    for network in [*networks.values()] * 2:
        network(z)
    taken: dict[str, list[float]] = {name: [] for name in networks}
    end = time.perf_counter() + SECONDS * len(networks)
    while time.perf_counter() < end or min(map(len, taken.values())) < ROUNDS:
        for name, network in networks.items():
            start = time.perf_counter()
            network(z)
            taken[name].append(time.perf_counter() - start)
    return {name: float(np.median(times)) * 1000 for name, times in taken.items()}
