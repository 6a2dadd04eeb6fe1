"""An archive of faces from the web: in several transfers if need be, but whole and sound or not at all.

The one place that opens a socket. Resuming follows RFC 9110: Range (section 14.2) and If-Range (13.1.5).
"""

import json
import os
import shutil
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from avatar_runtime.errors import AvatarError, OutputError
from avatar_runtime.output.atomic import make_folder, write_file
from avatar_training.data.dataset import ZIP_ERRORS

if sys.platform != "win32":
    from fcntl import LOCK_EX, LOCK_NB, flock

TIMEOUT = 30.0
"""Seconds of silence after which a transfer counts as broken."""

RETRIES = 5
"""Transfers in a row that may bring nothing before it is given up."""

MAX_UNPACKED = 20
"""Bytes of files for a byte of archive; pictures hardly shrink, so more is a zip bomb."""

MAX_BYTES = 2**33
"""8 GiB at most from a server that does not say how much it sends: one that never ends must not fill a disk."""

_CHUNK = 2**18
_BUSY = (408, 425, 429, 500, 502, 503, 504)


class DownloadError(AvatarError):
    """An archive cannot be fetched, or what came is not sound."""


class _Worthless(DownloadError):
    """What came is of no use: the next download begins again."""


class _Broken(Exception):
    """A transfer ended before its time; another one may bring the rest."""


class _Changed(_Broken):
    """What is missing no longer fits what came before."""


@dataclass(frozen=True)
class _Source:
    """What the beginning of a file came from; kept beside it, for the rest must come from the same."""

    url: str
    validator: str | None
    """The server's name for this version: a strong ETag or the date of the last change."""
    size: int | None
    """Bytes in all, if the server says."""


def download(
    url: str,
    path: Path,
    *,
    on_message: Callable[[str], None] = lambda message: None,
    on_received: Callable[[int, int | None], None] = lambda received, total: None,
    timeout: float = TIMEOUT,
    pause: float = 1.0,
) -> int:
    """Fetch a zip to path, unless a sound one is there already; returns how many files are in it.

    It grows in `path.part` and gets its name when it is complete and every file in it agrees with its checksum. A
    broken transfer is gone on with, in this call (after `pause` seconds, then twice as many …) and in later ones, if
    the server still has the same version; otherwise it begins again. on_received(bytes, bytes in all, or None if
    unknown) is called now and then. Nothing is unpacked. Raises DownloadError if the server cannot be reached, refuses
    or sends no sound zip; OutputError if path cannot be written.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"{url} is no address of the web; it should begin with https://")
    if path.suffix.lower() != ".zip":
        raise DownloadError(f"{path} should end in .zip: an archive is fetched, and read without unpacking")
    make_folder(path.parent)
    try:
        with _alone(path.parent, on_message):
            if path.exists():
                on_message(f"{path} is there already; checking it")
                return _count_sound_files(path, f"{path} is there already, but", "move it away to fetch it again")
            return _fetch(url, path, on_message, on_received, timeout, pause)
    except OSError as err:
        raise OutputError(f"cannot write {path}: {err.strerror or err}") from err


def _fetch(
    url: str,
    path: Path,
    on_message: Callable[[str], None],
    on_received: Callable[[int, int | None], None],
    timeout: float,
    pause: float,
) -> int:
    part = path.with_name(f"{path.name}.part")
    record = part.with_suffix(".part.json")
    with part.open("ab") as file:
        try:
            _receive_all(url, file, record, on_message, on_received, timeout, pause)
            file.flush()
            files = _count_sound_files(part, f"what came from {url}", "it was thrown away")
        except _Worthless:
            file.truncate(0)
            raise
        finally:
            if part.stat().st_size == 0:
                part.unlink()
                record.unlink(missing_ok=True)
    part.replace(path)
    record.unlink()
    return files


@contextmanager
def _alone(folder: Path, on_message: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time fetch into a folder, and the next find what the first has fetched.

    The workers of a job all come here. Windows and some network file systems have no such lock: there all go on.
    """
    if sys.platform == "win32":
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            try:
                flock(handle, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                on_message(f"another process is fetching into {folder}; waiting for it")
                flock(handle, LOCK_EX)
        yield
    finally:
        os.close(handle)


def _receive_all(
    url: str,
    file: IO[bytes],
    record: Path,
    on_message: Callable[[str], None],
    on_received: Callable[[int, int | None], None],
    timeout: float,
    pause: float,
) -> None:
    failures = 0
    while True:
        before = file.tell()
        try:
            return _receive(url, file, record, on_received, timeout)
        except _Broken as err:
            if isinstance(err, _Changed):
                record.unlink(missing_ok=True)
            have = file.tell()
            failures = 1 if have > before else failures + 1
            if not have:
                raise DownloadError(f"cannot fetch {url} ({err})") from err
            if failures > RETRIES:
                kept = f"{have:,} bytes are kept, and the same command goes on from there"
                raise DownloadError(f"cannot fetch {url} ({err}); {kept}") from err
            on_message(f"the transfer broke off after {have:,} bytes ({err}); going on")
            time.sleep(pause * 2 ** (failures - 1))


def _receive(
    url: str, file: IO[bytes], record: Path, on_received: Callable[[int, int | None], None], timeout: float
) -> None:
    """One transfer: append to file what is missing. Raises _Broken if something still is."""
    source, have = _read(record, url), file.tell()
    if source is not None and have == source.size:
        return
    headers = {"User-Agent": "avatar-edge"}
    if source is not None and source.validator and have:
        headers |= {"Range": f"bytes={have}-", "If-Range": source.validator}
    with closing(_open(Request(url, headers=headers), timeout)) as response:
        offered = _offer(response, url)
        if "Range" in headers and response.status == 206:
            _check_continuation(response, have, source, offered)
        else:  # all of it: the first time, another version now, or a server without ranges
            file.truncate(0)
            have = file.seek(0)
            write_file(record, json.dumps(asdict(offered)).encode())
        total = offered.size
        free = shutil.disk_usage(record.parent).free
        if total is not None and total - have > free:
            raise DownloadError(f"{url} needs {total - have:,} more bytes; {record.parent} has {free:,} free")
        while chunk := _chunk(response):
            have += len(chunk)
            if have > (MAX_BYTES if total is None else total):
                raise _Worthless(f"{url} sends more than {have - len(chunk):,} bytes; it was thrown away")
            file.write(chunk)
            on_received(have, total)
    if total is not None and have < total:
        raise _Broken(f"{have:,} of {total:,} bytes came")


def _check_continuation(response: HTTPResponse, have: int, source: _Source | None, offered: _Source) -> None:
    start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    if start != str(have) or source is None or source.size not in (None, offered.size):
        raise _Changed("the server sends another part than it was asked for")
    # A 206 need not repeat the date of the last change.
    if offered.validator not in (None, source.validator):
        raise _Changed("the server has another version now")


def _open(request: Request, timeout: float) -> HTTPResponse:
    try:
        return urlopen(request, timeout=timeout)  # type: ignore[no-any-return]  # of http and https
    except HTTPError as err:
        err.close()
        reason = f"the server answers {err.code} {err.reason}"
        if err.code == 416:  # there is nothing behind what we have
            raise _Changed(reason) from err
        if err.code not in _BUSY:
            raise DownloadError(f"cannot fetch {request.full_url}: {reason}") from err
        raise _Broken(reason) from err
    except (OSError, HTTPException) as err:
        raise _Broken(str(getattr(err, "reason", err)) or type(err).__name__) from err


def _chunk(response: HTTPResponse) -> bytes:
    try:
        return response.read1(_CHUNK)  # read would lose what came before a silence
    except (OSError, HTTPException) as err:
        raise _Broken(str(err) or type(err).__name__) from err


def _offer(response: HTTPResponse, url: str) -> _Source:
    etag, changed = response.headers.get("ETag", ""), response.headers.get("Last-Modified")
    size = response.headers.get("Content-Length", "")
    if response.status == 206:
        size = response.headers.get("Content-Range", "").rpartition("/")[2]
    validator = etag if etag and not etag.startswith("W/") else changed
    return _Source(url, validator, int(size) if size.isdecimal() else None)


def _read(record: Path, url: str) -> _Source | None:
    try:
        source = _Source(**json.loads(record.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return source if source.url == url else None


def _count_sound_files(path: Path, what: str, advice: str) -> int:
    """How many files a zip holds, each read once against its checksum. Raises DownloadError with these words."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = [info for info in archive.infolist() if not info.is_dir()]
            unpacked = sum(info.file_size for info in files)
            if unpacked > MAX_UNPACKED * path.stat().st_size:
                raise _Worthless(f"{what} is a zip bomb: it would unpack to {unpacked:,} bytes; {advice}")
            damaged = archive.testzip()  # a file that unpacks to more than it says is cut there, and disagrees
    except ZIP_ERRORS as err:
        raise _Worthless(f"{what} is no sound zip ({err}); {advice}") from err
    if damaged is not None:
        raise _Worthless(f"{what} is no sound zip ({damaged} is damaged); {advice}")
    return len(files)
