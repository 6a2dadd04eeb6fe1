"""Files and folders: written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from avatar_runtime.errors import OutputError


def make_folder(path: Path) -> None:
    """Make a folder and those above it, unless it is there. Raises OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as err:  # ValueError: a path with a NUL in it
        raise OutputError(f"cannot make the folder {path}: {getattr(err, 'strerror', None) or err}") from err


def write_file(path: Path, data: bytes) -> None:
    """Write data to path, whole or not at all. Raises OutputError."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside path, of the same extension; rename it to path if the block succeeds.

    If the block fails the temporary file is removed and path is as it was. Where path is a symbolic link, the file it
    points to is replaced and the link stays. An OSError becomes an OutputError.
    """
    temporary = None
    try:
        if "\0" in str(path):
            raise OutputError(f"cannot write {str(path)!r}: no file name has a NUL in it")
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        if target.is_dir():
            raise OutputError(f"{path} is a folder; name a file")
        temporary = target.parent / f".{path.stem[:40]}.{os.urandom(4).hex()}.tmp{path.suffix}"
        yield temporary
        temporary.replace(target)
        temporary = None
    except (OSError, UnicodeError) as err:  # UnicodeError: a name that the locale's encoding cannot write
        raise OutputError(f"cannot write {path}: {getattr(err, 'strerror', None) or err}") from err
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
