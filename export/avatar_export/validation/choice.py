"""Which of several proved models is the fastest on this machine."""

from collections.abc import Mapping

import numpy as np

from avatar_export.validation.parity import Network
from avatar_export.validation.speed import latency

BATCHES = (1, 64)
TIE = 1.05
"""A model that takes less than this times as long is as fast."""


def fastest(networks: Mapping[str, Network], latent_dim: int) -> tuple[str, dict[str, str]]:
    """The name of the fastest network, the first of those that are as fast; and why each other one lost.

    Time is measured alternately, at each of BATCHES; the geometric mean of the medians decides.
    """
    times = [latency(networks, latent_dim, batch) for batch in BATCHES]
    means = {name: float(np.exp(np.mean([np.log(medians[name]) for medians in times]))) for name in networks}
    best = next(name for name in networks if means[name] < TIE * min(means.values()))
    reasons = {}
    for name in networks:
        if name != best:
            reasons[name] = ", ".join(
                f"{medians[name]:.2f} ms at batch size {batch} ({best}: {medians[best]:.2f})"
                for batch, medians in zip(BATCHES, times, strict=True)
            )
    return best, reasons
