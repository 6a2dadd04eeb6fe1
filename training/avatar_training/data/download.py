"""Fetch a zip of faces from the web: complete and undamaged, or not at all. The one place that opens a socket."""

import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests
from filelock import FileLock, Timeout

from avatar_runtime.errors import AvatarError, OutputError
from avatar_runtime.output.atomic import make_folder
from avatar_training.archive import ZIP_ERRORS, read_pieces

TIMEOUT = 30.0
"""Seconds of silence after which a transfer is given up."""

RETRIES = 5
"""Transfers after the first. pooch waits 1, 2, 3, … s before each."""

MAX_UNPACKED = 20
"""Largest allowed ratio of unpacked to packed bytes. Pictures hardly shrink, so more is a zip bomb."""

MAX_BYTES = 2**33
"""8 GiB: limit for a server that does not say how much it sends, so that it cannot fill the disk."""

_CHUNK = 2**18
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)


class DownloadError(AvatarError):
    """An archive cannot be fetched, or is damaged."""


def download(
    url: str,
    path: Path,
    *,
    on_message: Callable[[str], None] = lambda message: None,
    on_received: Callable[[int, int | None], None] = lambda received, total: None,
    timeout: float = TIMEOUT,
    retries: int = RETRIES,
) -> int:
    """Fetch a zip to `path`, unless an undamaged one is already there. Nothing is unpacked.

    The transfer goes to a temporary file, which gets its name once every file in it matches its checksum. A broken
    transfer starts again. If another process is fetching the same file, wait for it and use its result.

    Args:
        url: an http or https address.
        path: where to put the zip.
        on_message: called with sentences for the user.
        on_received: called with the bytes received so far and in all (None if the server does not say).
        timeout: seconds of silence after which a transfer is given up.
        retries: transfers after the first.

    Returns:
        The number of files in the zip.

    Raises:
        DownloadError: the server cannot be reached, refuses, or sends no undamaged zip.
        OutputError: `path` cannot be written.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"{url} is not a web address; it should begin with https://")
    if path.suffix.lower() != ".zip":
        raise DownloadError(f"{path} should end in .zip: the archive is read without unpacking it")
    make_folder(path.parent)
    try:
        with _one_at_a_time(path, on_message):
            if path.exists():
                on_message(f"{path} already exists; checking it")
                return _count_files(path, f"{path} already exists but", "move it away to fetch it again")
            return _fetch(url, path, _Progress(url, path.parent, on_received), on_message, timeout, retries)
    except OSError as err:
        raise OutputError(f"cannot write {path}: {err.strerror or err}") from err


@contextmanager
def _one_at_a_time(path: Path, on_message: Callable[[str], None]) -> Iterator[None]:
    """Wait until no other process fetches this file: all workers of a job come here."""
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_message(f"another process is fetching {path}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch(
    url: str, path: Path, progress: "_Progress", on_message: Callable[[str], None], timeout: float, retries: int
) -> int:
    # A compressed answer would have another length than its Content-Length.
    headers = {"User-Agent": "avatar-edge", "Accept-Encoding": "identity"}
    transfer = pooch.HTTPDownloader(progress, _CHUNK, timeout=timeout, headers=headers)
    files = 0

    def transfer_and_check(url: str, temporary: str, registry: pooch.Pooch) -> None:
        nonlocal files
        try:
            transfer(url, temporary, registry)
        except requests.RequestException as err:
            status = getattr(err.response, "status_code", None)
            if not progress.has_answered and status not in _TEMPORARY:  # another try would not help
                raise DownloadError(f"cannot fetch {url}: {_reason(err)}") from err
            on_message(f"the transfer failed: {_reason(err)}")
            raise
        files = _count_files(Path(temporary), f"the file from {url}", "it was not kept")

    pooch.get_logger().setLevel("WARNING")  # it would print that it fetches
    name = path.name
    registry = pooch.create(path.parent, "", registry={name: None}, urls={name: url}, retry_if_failed=retries)
    try:
        registry.fetch(name, downloader=transfer_and_check)
    except requests.RequestException as err:
        raise DownloadError(f"cannot fetch {url}: {_reason(err)}; tried {1 + retries} times") from err
    path.chmod(0o644)  # a temporary file is private
    return files


class _Progress:
    """What pooch calls a progress bar. It also stops a transfer that is too large."""

    def __init__(self, url: str, folder: Path, on_received: Callable[[int, int | None], None]) -> None:
        self.url, self.folder, self.on_received = url, folder, on_received
        self.has_answered = False
        """Whether the server has ever answered with a file."""
        self._total = self._received = 0

    @property
    def total(self) -> int:
        """Bytes in all; 0 if the server does not say."""
        return self._total

    @total.setter
    def total(self, total: int) -> None:
        self.has_answered, self._total, self._received = True, total, 0
        free = shutil.disk_usage(self.folder).free
        if total > free:
            raise DownloadError(f"{self.url} has {total:,} bytes, but {self.folder} has only {free:,} free")

    def update(self, count: int) -> None:
        """Count received bytes; a last chunk counts as a whole one."""
        self._received += count
        if not self.total and self._received > MAX_BYTES:
            raise DownloadError(f"{self.url} sends more than {MAX_BYTES:,} bytes; it was not kept")
        self.on_received(min(self._received, self.total or self._received), self.total or None)

    def reset(self) -> None:
        """Start counting again."""
        self._received = 0

    def close(self) -> None:
        """Nothing to close."""


def _reason(err: requests.RequestException) -> str:
    if err.response is not None:
        return f"the server answers {err.response.status_code} {err.response.reason}"
    cause: BaseException = err
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return str(getattr(cause, "strerror", None) or cause) or type(cause).__name__


def _matches(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    """Whether a file matches its checksum. One that unpacks to more than it says is cut there, and does not."""
    try:
        for _ in read_pieces(archive, member):
            pass
    except zipfile.BadZipFile:
        return False
    return True


def _count_files(path: Path, what: str, advice: str) -> int:
    """Read every file in a zip once against its checksum, and count them. Raises DownloadError in these words."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = [info for info in archive.infolist() if not info.is_dir()]
            unpacked = sum(info.file_size for info in files)
            if unpacked > MAX_UNPACKED * path.stat().st_size:
                raise DownloadError(f"{what} is a zip bomb: it would unpack to {unpacked:,} bytes; {advice}")
            damaged = next((info.filename for info in files if not _matches(archive, info)), None)
    except ZIP_ERRORS as err:
        raise DownloadError(f"{what} is not an undamaged zip ({err}); {advice}") from err
    if damaged is not None:
        raise DownloadError(f"{what} is not an undamaged zip ({damaged} is damaged); {advice}")
    return len(files)
