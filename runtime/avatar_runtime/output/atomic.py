"""Write files whole or not at all, and say which cannot be written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from avatar_runtime.errors import OutputError


def make_folder(path: Path) -> None:
    """Make a folder and its parents, unless they exist. Raises OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as err:  # ValueError: a path with a NUL in it
        raise OutputError(f"cannot make the folder {path}: {getattr(err, 'strerror', None) or err}") from err


def write_file(path: Path, data: bytes) -> None:
    """Write data to path, whole or not at all. Raises OutputError."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make an OutputError of an OSError in the block, which writes to a path by itself."""
    try:
        yield
    except OSError as err:
        raise OutputError(f"cannot write {path}: {err.strerror or err}") from err


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Replace a file by what the block writes, or leave it as it was if the block fails.

    Args:
        path: The file; if it is a symbolic link, the file that it points to.

    Yields:
        A temporary path in the same folder and with the same extension. It is renamed to path if the block succeeds,
        and removed if not.

    Raises:
        OutputError: path is a folder or cannot be written, or the block raises an OSError.
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
        reason = getattr(err, "strerror", None) or str(err)
        if isinstance(err, FileNotFoundError) and not path.parent.exists():
            reason = f"there is no folder {path.parent}; make it first"
        raise OutputError(f"cannot write {path}: {reason}") from err
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
