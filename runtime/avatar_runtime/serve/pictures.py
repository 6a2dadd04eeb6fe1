"""Answers requests for pictures as plain ASGI: a framework takes longer and interprets names."""

import time

from starlette.types import ASGIApp, Receive, Scope, Send

from avatar_runtime.errors import InputError
from avatar_runtime.serve.answers import Answers, BusyError
from avatar_runtime.serve.metrics import Metrics
from avatar_runtime.serve.requests import is_picture, parse

MEDIA_TYPES = {".png": b"image/png", ".webp": b"image/webp", ".jpg": b"image/jpeg", ".jpeg": b"image/jpeg"}

_FOR_EVER = (b"cache-control", b"public, max-age=31536000, immutable")
"""What an address shows changes only with the server's model."""
_NO_STORE = (b"cache-control", b"no-store")
_NO_SNIFF = (b"x-content-type-options", b"nosniff")

Headers = list[tuple[bytes, bytes]]
Response = tuple[int, Headers, bytes]
"""Status, headers and body."""


class Pictures:
    """An ASGI application that answers requests for pictures and passes all others on to site."""

    def __init__(self, answers: Answers, metrics: Metrics, image_size: int, site: ASGIApp) -> None:
        self._answers = answers
        self._metrics = metrics
        self._image_size = image_size
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for a picture, or pass on anything else."""
        path = _path(scope) if scope["type"] == "http" else ""
        if not is_picture(path):
            await self._site(scope, receive, send)
            return
        began = time.monotonic()
        try:
            status, headers, body = await self._respond(path, scope)
        except Exception:  # whoever serves this answers 500 and logs it
            self._metrics.on_request(500, time.monotonic() - began)
            raise
        if status != 304:
            headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        self._metrics.on_request(status, time.monotonic() - began)

    async def _respond(self, path: str, scope: Scope) -> Response:
        if scope["method"] not in ("GET", "HEAD"):
            return _sentence(405, "a picture can be read, and nothing else", (b"allow", b"GET, HEAD"))
        try:
            picture, extension = parse(path, scope.get("raw_path", b""), scope["query_string"], self._image_size)
            answer = await self._answers.answer(picture, extension)
        except InputError as err:
            return _sentence(400, str(err))
        except BusyError:
            return _sentence(503, "too many avatars are asked for at once; try again", (b"retry-after", b"1"))
        etag = answer.etag.encode()
        headers: Headers = [(b"etag", etag), _FOR_EVER, _NO_SNIFF]
        if _is_known(etag, scope["headers"]):
            return 304, headers, b""
        return 200, [(b"content-type", MEDIA_TYPES[extension]), *headers], answer.data


def _path(scope: Scope) -> str:
    """The decoded path below where the application is mounted, without its leading slash."""
    path: str = scope["path"]
    root = scope.get("root_path", "") + "/"
    return path[len(root) :] if path.startswith(root) else path.removeprefix("/")


def _is_known(etag: bytes, headers: Headers) -> bool:
    """Whether the client has the picture already: RFC 9110, section 13.1.2."""
    known = [
        tag.strip().removeprefix(b"W/")
        for name, value in headers
        if name == b"if-none-match"
        for tag in value.split(b",")
    ]
    return etag in known or b"*" in known


def _sentence(status: int, text: str, *headers: tuple[bytes, bytes]) -> Response:
    plain = (b"content-type", b"text/plain; charset=utf-8")
    return status, [plain, _NO_STORE, *headers], f"{text}\n".encode("utf-8", "replace")
