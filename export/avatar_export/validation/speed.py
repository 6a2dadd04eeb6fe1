"""How long networks take. They run alternately, so that whatever disturbs one disturbs all."""

import time
from collections.abc import Mapping

import numpy as np

from avatar_export.validation.parity import SELECTION, Network, parity_latents

SECONDS = 1.0
"""How long a measurement takes at least, for each network."""
MIN_TURNS = 5
"""The least number of turns of each network; a turn takes SECONDS / MIN_TURNS / 4, or four runs if they take longer."""
BATCH_SIZES = (1, 64)
"""The batch sizes by which `fastest` decides."""
TIE = 1.05
"""A network that takes less than this times as long counts as equally fast."""


def latency(networks: Mapping[str, Network], latent_dim: int, batch_size: int = 1) -> dict[str, float]:
    """Median milliseconds that each network takes for one batch, after two batches to warm up."""
    z = parity_latents(latent_dim, SELECTION)[:batch_size]
    for network in [*networks.values()] * 2:
        network(z)
    times: dict[str, list[float]] = {name: [] for name in networks}
    end = time.perf_counter() + SECONDS * len(networks)
    turns = 0
    while turns < MIN_TURNS or time.perf_counter() < end:
        turns += 1
        for name, network in networks.items():
            runs: list[float] = []
            turn_end = time.perf_counter() + SECONDS / MIN_TURNS / 4
            while len(runs) < 4 or time.perf_counter() < turn_end:
                start = time.perf_counter()
                network(z)
                runs.append(time.perf_counter() - start)
            # The first half is left out: the threads of the network before still spin and the caches are still full of
            # its data. fp32 seemed to take 3.6 ms at batch size 1 where it takes 1.5.
            times[name] += runs[len(runs) // 2 :]
    return {name: float(np.median(taken)) * 1000 for name, taken in times.items()}


def fastest(networks: Mapping[str, Network], latent_dim: int) -> tuple[str, dict[str, str]]:
    """Find the fastest network here, by the geometric mean of its medians at BATCH_SIZES.

    Returns:
        The name of the fastest, or of the first of those that are equally fast; and for each other why it was not it.
    """
    times = [latency(networks, latent_dim, batch_size) for batch_size in BATCH_SIZES]
    means = {name: float(np.exp(np.mean([np.log(medians[name]) for medians in times]))) for name in networks}
    best = next(name for name in networks if means[name] < TIE * min(means.values()))
    reasons = {
        name: ", ".join(
            f"{medians[name]:.2f} ms at batch size {batch_size} ({best}: {medians[best]:.2f})"
            for batch_size, medians in zip(BATCH_SIZES, times, strict=True)
        )
        for name in networks
        if name != best
    }
    return best, reasons
