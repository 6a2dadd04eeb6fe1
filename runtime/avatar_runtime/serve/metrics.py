"""The metrics of a server, for Prometheus.

Where several processes serve, prometheus_client keeps them in the folder PROMETHEUS_MULTIPROC_DIR, and whichever
process is asked adds all up.
"""

import os
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

MEDIA_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The metrics of one application, in a registry of their own."""

    def __init__(self) -> None:
        seconds = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
        sizes = (1, 2, 4, 8, 16, 32, 64, 128, 256)
        self._registry = CollectorRegistry()
        here: Any = {"registry": self._registry}
        live: Any = {**here, "multiprocess_mode": "livesum"}
        self._requests = Counter("avatar_requests", "Requests for pictures, by status", ["status"], **here)
        about = "Time to answer a request for a picture"
        self._seconds = Histogram("avatar_request_seconds", about, buckets=seconds, **here)
        self._batch = Histogram("avatar_batch_size", "Avatars drawn in one run of the model", buckets=sizes, **here)
        self._under_way = Gauge("avatar_under_way", "Avatars being drawn or waiting for it", **live)
        self._cached = Gauge("avatar_cached_bytes", "Bytes of encoded pictures in the cache", **live)

    def on_request(self, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(status).inc()
        self._seconds.observe(seconds)

    def on_batch(self, size: int) -> None:
        """Count a run of the model."""
        self._batch.observe(size)

    def on_change(self, avatars: int, cached: int) -> None:
        """Count what is under way, and the bytes in the cache: how many more there are."""
        if avatars:
            self._under_way.inc(avatars)
        if cached:
            self._cached.inc(cached)

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        everything = CollectorRegistry()
        MultiProcessCollector(everything)  # type: ignore[no-untyped-call]
        return generate_latest(everything)
