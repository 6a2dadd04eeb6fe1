"""What is served: the models, by their ids, and the documents made of them."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from avatar_runtime.errors import InputError, ModelFileError
from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.model_file.registry import default_model, find_model
from avatar_runtime.serve.cache import PictureCache
from avatar_runtime.serve.metrics import Metrics
from avatar_runtime.serve.openapi import description
from avatar_runtime.serve.responses import Document
from avatar_runtime.web_sources import embedded_module, web_sources

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'"
)
"""The Content-Security-Policy of the demo page."""

_MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".ts": "text/plain; charset=utf-8",
}
"""By the extension of a source of the page."""


class Service:
    """Model files that are loaded, and all that is made of them. It is made anew when they are read again.

    It takes what `create_app` takes, and raises the same.
    """

    def __init__(self, models: Sequence[str | Path], limit: int, workers: int, metrics: Metrics) -> None:
        self.caches: dict[str, PictureCache] = {}
        """By the model's id, in the order given."""
        for model in models or [default_model()]:
            generator = AvatarGenerator.load(model, threads=1)
            generator.verify()
            if "/" in generator.model_id:
                raise InputError(f"{model}: its id {generator.model_id!r} has a slash, which no address can hold")
            found = self.caches.get(generator.model_id)
            if found is not None and found.generator.model_sha256 != generator.model_sha256:
                raise InputError(f"{model} and another model are both {generator.model_id}: change a version")
            if found is None:
                self.caches[generator.model_id] = PictureCache(
                    generator, limit, workers, metrics.on_batch, metrics.on_change
                )
        self.default = next(iter(self.caches.values()))
        path = find_model(models[0] if models else None).path
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.default.generator.model_sha256:
            raise ModelFileError(f"{path} changed while it was read; try again")
        self.documents = dict(_documents(content, list(self.caches)))
        """By their paths."""

    def find(self, model: str) -> tuple[PictureCache | None, bool]:
        """The pictures of the model of this id, or the first with this name; and whether it was an id."""
        if model in self.caches:
            return self.caches[model], True
        for cache in self.caches.values():
            if cache.generator.spec.name == model:
                return cache, False
        return None, False

    @property
    def under_way(self) -> int:
        """How many avatars are drawn or wait for it."""
        return sum(cache.under_way for cache in self.caches.values())

    @property
    def is_busy(self) -> bool:
        """Whether a model takes no more requests for now."""
        return any(cache.under_way >= cache.limit for cache in self.caches.values())

    def close(self) -> None:
        """Wait for the pictures that are being drawn, then end the threads."""
        for cache in self.caches.values():
            cache.close()


def _documents(model: bytes, ids: list[str]) -> Iterator[tuple[str, Document]]:
    """The demo page with all that it loads, and the documents about the interface."""
    web = web_sources()
    for path in (web / "index.html", web / "sw.js", *(web / "demo").iterdir(), *(web / "src").iterdir()):
        if path.is_file():
            name = path.relative_to(web).as_posix()
            headers = [(b"content-security-policy", POLICY.encode())] if name == "index.html" else []
            document = Document(path.read_bytes(), _MEDIA_TYPES.get(path.suffix, "application/octet-stream"), *headers)
            yield ("" if name == "index.html" else name), document
    yield "model.onnx", Document(model, "application/octet-stream")
    yield "src/embedded.js", Document(lambda: embedded_module(model).encode(), "text/javascript")
    yield "openapi.json", Document(lambda: json.dumps(description(ids)).encode(), "application/json")
    yield "v1/models", Document(json.dumps({"models": [{"id": name} for name in ids]}).encode(), "application/json")
