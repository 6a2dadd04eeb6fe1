"""The ASGI application, to run alone or to mount in another."""

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Collection
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from avatar_runtime.cpus import check_can_start, check_threads, cpu_limit
from avatar_runtime.errors import InputError
from avatar_runtime.extras import needs
from avatar_runtime.serve.cache import BusyError, PictureCache
from avatar_runtime.serve.compatible import CHOICES, is_compatible, parse_compatible
from avatar_runtime.serve.negotiation import FORMATS
from avatar_runtime.serve.requests import Asked, is_picture, parse_avatar, parse_grid
from avatar_runtime.serve.responses import (
    FOR_EVER,
    NO_STORE,
    SHORT,
    Response,
    Scope,
    Sharing,
    header,
    on_condition,
    sentence,
)

with needs("serve", __name__):
    from avatar_runtime.serve.metrics import MEDIA_TYPE, Metrics
    from avatar_runtime.serve.service import Service

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_METHODS = ("GET", "HEAD", "OPTIONS")
_PRIVATE = ("healthz", "readyz", "metrics")
"""Paths of the operator, which pages of other origins do not need."""


def create_app(
    *models: str | Path,
    limit: int = 1024,
    threads: int | None = None,
    prefix: str = "",
    origins: Collection[str] = ("*",),
    resource_policy: str = "cross-origin",
    compatible: Collection[str] = (),
    on_answer: Callable[[dict[str, Any]], None] | None = None,
) -> "Application":
    """Make an ASGI application that draws avatars. docs/serving.md lists its addresses.

    Args:
        models: Ids, such as "anime-faces-128@1", or files; by default the package's. The first draws what no id asks
            for. They are read at the start, and again by `Application.reload`; replacing them otherwise changes
            nothing.
        limit: How many avatars of a model may be under way before requests are turned away.
        threads: Threads that draw and encode, by default one per CPU.
        prefix: What the paths begin with, such as "/avatars", if a proxy passes them on whole.
        origins: Origins whose scripts may read the answers; "*" for all.
        resource_policy: Which pages may embed the pictures: cross-origin, same-site or same-origin.
        compatible: Services whose addresses are answered, too: of gravatar, dicebear, dicebear-svg.
        on_answer: Called after each answer with what an access log says of it.

    Raises:
        ModelFileError: A model cannot be read, or does not draw its golden images.
        InputError: threads is out of range, two models have the same id, or nothing is compatible with a service.

    Examples:
        >>> app = Starlette(routes=[Mount("/avatars", create_app())])
    """
    check_threads(threads)
    workers = threads or cpu_limit()
    check_can_start(workers)
    metrics = Metrics()
    if unknown := set(compatible) - set(CHOICES):
        raise InputError(f"{unknown.pop()!r} is not a service to be compatible with; choose {', '.join(CHOICES)}")
    sharing = Sharing(origins, resource_policy)
    return Application(
        lambda: Service(models, limit, workers, metrics), metrics, prefix, sharing, frozenset(compatible), on_answer
    )


class Application:
    """An ASGI application; `create_app` makes it."""

    def __init__(
        self,
        load: Callable[[], Service],
        metrics: Metrics,
        prefix: str,
        sharing: Sharing,
        compatible: frozenset[str],
        on_answer: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self._load = load
        self._service = load()
        self._metrics = metrics
        self._prefix = prefix.strip("/")
        self._sharing = sharing
        self._compatible = compatible
        self._on_answer = on_answer
        self._random = os.urandom(4).hex().encode()
        self._count = count()

    async def reload(self) -> None:
        """Read the model files again. Requests that are under way are finished with the models that took them.

        Raises:
            AvatarError: As `create_app` does; then nothing has changed.
        """
        service = await asyncio.to_thread(self._load)
        before, self._service = self._service, service
        while before.under_way:
            await asyncio.sleep(0.05)
        before.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"avatars are served over HTTP, not {scope['type']}")
        began = time.monotonic()
        path, request_id = self._path(scope), self._request_id(scope)
        error = None
        try:
            response = on_condition(await self._respond(path, scope), scope)
        except Exception as err:
            error = err
            response = sentence(500, f"the server failed; its log has this request as {request_id.decode()}")
        headers = [*response.headers, (b"x-content-type-options", b"nosniff"), (b"x-request-id", request_id)]
        if path not in _PRIVATE:
            headers += self._sharing.headers(scope)
        if response.status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(response.body)))
        body = b"" if scope["method"] == "HEAD" else response.body
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        seconds = time.monotonic() - began
        if path is not None and self._is_picture(path):
            self._metrics.on_request(response.status, seconds)
        if self._on_answer is not None:
            self._on_answer(_record(scope, request_id, response.status, len(body), seconds))
        if error is not None:  # whoever serves this logs it
            raise error

    async def _respond(self, path: str | None, scope: Scope) -> Response:
        if scope["method"] == "OPTIONS":
            return self._sharing.preflight(scope)
        if path is None:
            if scope["path"] == f"/{self._prefix}":
                return sentence(308, "a slash is missing", (b"location", f"/{quote(self._prefix)}/".encode()))
            return sentence(404, f"nothing is here; the avatars are below /{self._prefix}/")
        if scope["method"] not in _METHODS:
            return sentence(405, "only GET, HEAD and OPTIONS are allowed", (b"allow", b"GET, HEAD, OPTIONS"))
        service = self._service
        if document := service.documents.get(path):
            return document.answer(header(scope, b"accept-encoding"))
        if path == "healthz":
            return sentence(200, "ok")
        if path == "readyz":
            return sentence(503, "busy") if service.is_busy else sentence(200, "ok")
        if path == "metrics":
            return Response(200, [(b"content-type", MEDIA_TYPE.encode()), NO_STORE], self._metrics.text())
        try:
            return await self._picture(path, service, scope)
        except InputError as err:
            return sentence(400, str(err))
        except BusyError:
            return sentence(503, "too many avatars are being drawn; try again", (b"retry-after", b"1"))

    async def _picture(self, path: str, service: Service, scope: Scope) -> Response:
        """The answer to a request for a picture, or 404. Raises InputError or BusyError."""
        _check_utf8(scope)
        query, accept = scope["query_string"], header(scope, b"accept")
        if is_compatible(path, self._compatible):
            asked = parse_compatible(path, query, accept, self._compatible)
            if asked is None:
                return sentence(404, "you asked for a 404 in place of a default picture")
            return await _drawn(service.default, asked, SHORT)
        kind, _, rest = path.partition("/")
        if kind != "v1":
            if not is_picture(path):
                return sentence(404, "nothing is here; an avatar is at /NAME.png, and docs at /openapi.json")
            return await _drawn(service.default, parse_avatar(path, query, accept), SHORT)
        grids = rest.startswith("grids/")
        model, slash, name = rest.removeprefix("grids/").partition("/")
        cache, is_id = service.find(model)
        if cache is None:
            known = ", ".join(service.caches)
            return sentence(404, f"there is no model {model[:60]!r} here; there are {known}")
        if not slash or not name:
            return sentence(404, "nothing is here; a name is missing after the model")
        lifetime = FOR_EVER if is_id else SHORT
        if grids:
            side = cache.generator.spec.image_size
            return await _drawn(cache, parse_grid(name, query, accept, side), lifetime)
        return await _drawn(cache, parse_avatar(name, query, accept), lifetime)

    def _is_picture(self, path: str) -> bool:
        """Whether a path is one of a picture, which the metrics count."""
        if path in self._service.documents:
            return False
        return path.startswith("v1/") or is_picture(path) or is_compatible(path, self._compatible)

    def _path(self, scope: Scope) -> str | None:
        """The decoded path below where the application is, without its leading slash; None outside of the prefix."""
        path: str = scope["path"]
        root = scope.get("root_path", "") + "/"
        path = path[len(root) :] if path.startswith(root) else path.removeprefix("/")
        if not self._prefix:
            return path
        return path[len(self._prefix) + 1 :] if path.startswith(f"{self._prefix}/") else None

    def _request_id(self, scope: Scope) -> bytes:
        """The id that a proxy has given the request, or a new one.

        Only the start is random: os.urandom for each would wait for the threads that draw, 0.4 ms.
        """
        given = header(scope, b"x-request-id")
        if given and re.fullmatch(rb"[\w.:/+=-]{1,128}", given):
            return given
        return b"%b%08x" % (self._random, next(self._count))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await asyncio.to_thread(self._service.close)
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


async def _drawn(cache: PictureCache, asked: Asked, lifetime: tuple[bytes, bytes]) -> Response:
    answer = await cache.answer(asked.picture, asked.extension)
    headers = [(b"content-type", FORMATS[asked.extension].encode()), (b"etag", answer.etag.encode()), lifetime]
    if asked.negotiated:
        headers.append((b"vary", b"Accept"))
    return Response(200, headers, answer.data)


def _check_utf8(scope: Scope) -> None:
    raw: bytes = scope.get("raw_path") or b""
    try:
        if b"%" in raw or not raw.isascii():
            unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as err:
        raise InputError("the name is not UTF-8; percent-encode it as encodeURIComponent does") from err


def _record(scope: Scope, request_id: bytes, status: int, size: int, seconds: float) -> dict[str, Any]:
    """What an access log says of an answer."""
    address = scope.get("raw_path") or scope["path"].encode()
    if scope["query_string"]:
        address += b"?" + scope["query_string"]
    client = scope.get("client")
    texts = {"forwarded_for": b"x-forwarded-for", "user_agent": b"user-agent", "referer": b"referer"}
    return {
        "request_id": request_id.decode(),
        "client": client[0] if client else None,
        "method": scope["method"],
        "address": address.decode("latin-1"),
        "status": status,
        "bytes": size,
        "seconds": round(seconds, 6),
        **{key: value.decode("latin-1") for key, name in texts.items() if (value := header(scope, name))},
    }
