"""Fetch one file from the web: the right one and whole, or none. The only place that fetches anything."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import pooch
import requests

from avatar_runtime.errors import DownloadError, OutputError

TIMEOUT = 30.0
"""Seconds of silence after which a transfer is given up."""

RETRIES = 5
"""Transfers after the first. pooch waits 1, 2, 3, … s before each."""

MAX_BYTES = 2**33
"""8 GiB: limit for a server that does not say how much it sends, so that it cannot fill the disk."""

OnMessage = Callable[[str], None]
"""Called with sentences for the user."""
OnReceived = Callable[[int, int | None], None]
"""Called with the bytes received so far and in all; None if the server does not say."""

_CHUNK = 2**18
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)


def download_file(
    url: str,
    path: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    check: Callable[[Path], None] = lambda path: None,
    on_message: OnMessage = lambda message: None,
    on_received: OnReceived = lambda received, total: None,
    timeout: float = TIMEOUT,
    retries: int = RETRIES,
) -> None:
    """Fetch a file to `path`, unless the right one is already there.

    The transfer goes to a temporary file beside it, which gets its name once it is known to be right. A broken transfer
    starts again.

    Args:
        url: An http or https address.
        path: Where to put the file; its folder exists.
        size: The file's bytes. A server that sends more, or that says so, is cut off.
        sha256: The file's digest. Without it any file that is there is right.
        check: Called with the path of the temporary file; may raise DownloadError.
        on_message: See OnMessage.
        on_received: See OnReceived.
        timeout: Seconds of silence after which a transfer is given up.
        retries: Transfers after the first.

    Raises:
        DownloadError: The server cannot be reached, refuses, or sends another file.
        OutputError: `path` cannot be written.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"{url} is not a web address; it should begin with https://")
    # A compressed answer would have another length than its Content-Length.
    headers = {"User-Agent": "avatar-edge", "Accept-Encoding": "identity"}
    has_answered = False

    def transfer(file: BinaryIO) -> None:
        nonlocal has_answered
        with requests.get(url, headers=headers, timeout=timeout, stream=True) as response:
            response.raise_for_status()
            has_answered = True
            length = response.headers.get("Content-Length", "")
            total, received = int(length) if length.isdecimal() else None, 0
            limit = size or total or MAX_BYTES
            free = shutil.disk_usage(path.parent).free
            if (total or 0) > free:
                raise DownloadError(f"{url} has {total:,} bytes, but {path.parent} has only {free:,} free")
            for chunk in itertools.chain([b""], response.iter_content(_CHUNK)):
                received += len(chunk)
                if max(total or 0, received) > limit:
                    raise DownloadError(f"{url} sends more than {limit:,} bytes; it was not kept")
                file.write(chunk)
                on_received(received, total)

    def transfer_and_check(url: str, temporary: str, registry: pooch.Pooch) -> None:
        try:
            with Path(temporary).open("wb") as file:
                transfer(file)
        except requests.RequestException as err:
            status = getattr(err.response, "status_code", None)
            if not has_answered and status not in _TEMPORARY:  # another try would not help
                raise DownloadError(f"cannot fetch {url}: {_reason(err)}") from err
            on_message(f"the transfer failed: {_reason(err)}")
            raise
        if sha256 is not None and (found := pooch.file_hash(temporary)) != sha256:
            size = Path(temporary).stat().st_size
            raise DownloadError(
                f"{url} is another file: {size:,} bytes with SHA-256 {found}, not {sha256}; it was not kept"
            )
        check(Path(temporary))

    pooch.get_logger().setLevel("WARNING")  # it would print that it fetches
    name = path.name
    registry = pooch.create(path.parent, "", registry={name: sha256}, urls={name: url}, retry_if_failed=retries)
    try:
        registry.fetch(name, downloader=transfer_and_check)
        path.chmod(0o644)  # a temporary file is private
    except requests.RequestException as err:
        raise DownloadError(f"cannot fetch {url}: {_reason(err)}; tried {1 + retries} times") from err
    except OSError as err:
        raise OutputError(f"cannot write {path}: {err.strerror or err}") from err


def _reason(err: requests.RequestException) -> str:
    if err.response is not None:
        return f"the server answers {err.response.status_code} {err.response.reason}"
    cause: BaseException = err
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return str(getattr(cause, "strerror", None) or cause) or type(cause).__name__
