"""The metrics of a server, for Prometheus."""

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from avatar_runtime.serve.answers import Answers

MEDIA_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The metrics of one application, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "avatar_requests", "Requests for pictures, by status", ["status"], registry=self._registry
        )
        self._seconds = Histogram(
            "avatar_request_seconds",
            "Time to answer a request for a picture",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
            registry=self._registry,
        )
        self._batch = Histogram(
            "avatar_batch_size",
            "Avatars drawn in one run of the model",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=self._registry,
        )

    def watch(self, answers: Answers) -> None:
        """Show how much is under way and cached."""
        waiting = Gauge("avatar_under_way", "Avatars being drawn or waiting for it", registry=self._registry)
        waiting.set_function(lambda: answers.under_way)
        cached = Gauge("avatar_cached_bytes", "Bytes of encoded pictures in the cache", registry=self._registry)
        cached.set_function(lambda: answers.cached)

    def on_request(self, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(status).inc()
        self._seconds.observe(seconds)

    def on_batch(self, size: int) -> None:
        """Count a run of the model."""
        self._batch.observe(size)

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)
