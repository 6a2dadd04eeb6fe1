"""What every answer has in common: its headers, whether the client has it already, and who may use it."""

import re
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, NamedTuple, TypeAlias

from avatar_runtime.serve.negotiation import takes_gzip

Scope: TypeAlias = MutableMapping[str, Any]
"""An ASGI scope."""
Headers: TypeAlias = list[tuple[bytes, bytes]]

FOR_EVER = (b"cache-control", b"public, max-age=31536000, immutable")
"""For an address with a model's id: what it shows never changes."""
SHORT = (b"cache-control", b"public, max-age=300")
"""For an address without one: it shows another face once the service has another model."""
REVALIDATE = (b"cache-control", b"public, no-cache")
NO_STORE = (b"cache-control", b"no-store")

_COMPRESSED = re.compile(rb"^(text/|application/(json|wasm)|image/svg)")
"""Media types that gzip makes smaller."""


class Response(NamedTuple):
    """Status, headers and body."""

    status: int
    headers: Headers
    body: bytes


class Document:
    """A body that never changes, or what makes it at the first request, with its entity tags."""

    def __init__(self, body: bytes | Callable[[], bytes], media_type: str, *headers: tuple[bytes, bytes]) -> None:
        self._body = body
        self._headers = [(b"content-type", media_type.encode()), REVALIDATE, *headers]
        self._compresses = bool(_COMPRESSED.match(media_type.encode()))
        self._variants: dict[bool, tuple[bytes, bytes]] = {}

    def answer(self, accept_encoding: bytes | None) -> Response:
        """The document, compressed for those who take gzip."""
        zipped = self._compresses and takes_gzip(accept_encoding)
        if zipped not in self._variants:  # at the first request: all of the site take 50 ms
            self._variants[zipped] = self._variant(zipped)
        body, etag = self._variants[zipped]
        headers = [(b"etag", etag), *self._headers]
        if self._compresses:
            headers.append((b"vary", b"Accept-Encoding"))
        if zipped:
            headers.append((b"content-encoding", b"gzip"))
        return Response(200, headers, body)

    def _variant(self, zipped: bool) -> tuple[bytes, bytes]:
        import gzip
        import hashlib

        body = self._body if isinstance(self._body, bytes) else self._body()
        body = gzip.compress(body, 9, mtime=0) if zipped else body
        return body, b'"%b"' % hashlib.sha256(body).hexdigest().encode()


def sentence(status: int, text: str, *headers: tuple[bytes, bytes]) -> Response:
    """An answer in one line of text, which nobody keeps."""
    plain = (b"content-type", b"text/plain; charset=utf-8")
    return Response(status, [plain, NO_STORE, *headers], f"{text}\n".encode("utf-8", "replace"))


def header(scope: Scope, name: bytes) -> bytes | None:
    """The value of a request's header; several of one name are joined, as RFC 9110 allows."""
    values = [value for key, value in scope["headers"] if key == name]
    return b",".join(values) if values else None


def on_condition(response: Response, scope: Scope) -> Response:
    """The response; or 304 if the client has it already, or 412 if it wants only one that it knows.

    RFC 9110, section 13.2.2. Nothing here has a date, so that If-Modified-Since and If-Unmodified-Since are ignored, as
    section 13.1 says; so is Range, as section 14.2 allows.
    """
    known, wanted = header(scope, b"if-none-match"), header(scope, b"if-match")
    if response.status != 200 or known is wanted is None:
        return response
    etag = next((value for key, value in response.headers if key == b"etag"), None)
    if wanted is not None and not {etag, b"*"} & {tag.strip() for tag in wanted.split(b",")}:
        return sentence(412, "the picture is not one of those that If-Match names")
    if known is None or not {etag, b"*"} & {tag.strip().removeprefix(b"W/") for tag in known.split(b",")}:
        return response
    left_out = (b"content-type", b"content-encoding")
    return Response(304, [item for item in response.headers if item[0] not in left_out], b"")


class Sharing:
    """Which pages of other origins may use the answers: the headers of CORS and of Cross-Origin-Resource-Policy.

    Args:
        origins: Origins whose scripts may read an answer; "*" for all.
        policy: Which pages may embed one: cross-origin, same-site or same-origin.
    """

    def __init__(self, origins: Iterable[str] = ("*",), policy: str = "cross-origin") -> None:
        self._origins = {origin.encode() for origin in origins}
        self._headers = [(b"cross-origin-resource-policy", policy.encode())]

    def headers(self, scope: Scope) -> Headers:
        """The headers for a request."""
        if b"*" in self._origins:
            return [*self._headers, (b"access-control-allow-origin", b"*")]
        origin = header(scope, b"origin")
        if origin in self._origins:
            return [*self._headers, (b"access-control-allow-origin", origin), (b"vary", b"Origin")]
        return [*self._headers, (b"vary", b"Origin")]

    def preflight(self, scope: Scope) -> Response:
        """The answer to OPTIONS, by which a browser asks whether it may send a request."""
        allowed = [
            (b"allow", b"GET, HEAD, OPTIONS"),
            (b"access-control-allow-methods", b"GET, HEAD, OPTIONS"),
            (b"access-control-allow-headers", b"If-Match, If-None-Match, X-Request-Id"),
            (b"access-control-max-age", b"86400"),
            NO_STORE,
        ]
        return Response(204, allowed, b"")
