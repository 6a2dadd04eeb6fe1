"""Fetch a zip of faces from the web: complete and undamaged, or not at all."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from avatar_runtime.download import RETRIES, TIMEOUT, OnMessage, OnReceived, download_file
from avatar_runtime.errors import DownloadError
from avatar_runtime.output.atomic import make_folder, writing
from avatar_training.archive import ZIP_ERRORS, read_pieces

MAX_UNPACKED = 20
"""Largest allowed ratio of unpacked to packed bytes. Pictures hardly shrink, so more is a zip bomb."""


def download(
    url: str,
    path: Path,
    *,
    on_message: OnMessage = lambda message: None,
    on_received: OnReceived = lambda received, total: None,
    timeout: float = TIMEOUT,
    retries: int = RETRIES,
) -> int:
    """Fetch a zip to `path`, unless an undamaged one is already there. Nothing is unpacked.

    The transfer goes to a temporary file, which gets its name once every file in it matches its checksum. A broken
    transfer starts again. If another process is fetching the same file, wait for it and use its result.

    Args:
        url: an http or https address.
        path: where to put the zip.
        on_message, on_received, timeout, retries: as in `download_file`.

    Returns:
        The number of files in the zip.

    Raises:
        DownloadError: the server cannot be reached, refuses, or sends no undamaged zip.
        OutputError: `path` cannot be written.
    """
    if path.suffix.lower() != ".zip":
        raise DownloadError(f"{path} should end in .zip: the archive is read without unpacking it")
    make_folder(path.parent)
    with writing(path), _one_at_a_time(path, on_message):
        if path.exists():
            on_message(f"{path} already exists; checking it")
            return _count_files(path, f"{path} already exists but", "move it away to fetch it again")
        files = 0

        def check(archive: Path) -> None:
            nonlocal files
            files = _count_files(archive, f"the file from {url}", "it was not kept")

        download_file(
            url, path, check=check, on_message=on_message, on_received=on_received, timeout=timeout, retries=retries
        )
        return files


@contextmanager
def _one_at_a_time(path: Path, on_message: OnMessage) -> Iterator[None]:
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
