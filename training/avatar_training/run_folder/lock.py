"""Makes sure that only one process trains in a folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from avatar_runtime.errors import OutputError
from avatar_runtime.output.atomic import writing
from avatar_training.errors import TrainingError


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Lock a folder for this process until the block ends, or the process does.

    Raises TrainingError, with its number, if another process has it, or OutputError.
    """
    path = folder / ".lock"
    holder = folder / ".lock.pid"  # a file of its own: filelock may use the content of the lock file
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as err:
        number = ""
        with suppress(OSError, ValueError):
            number = f" {int(holder.read_text(encoding='ascii'))}"
        raise TrainingError(f"process{number} is training in {folder}; stop it, or choose another --out") from err
    except (OSError, NotImplementedError) as err:
        raise OutputError(f"cannot write {path}: {getattr(err, 'strerror', None) or err}") from err
    try:
        with writing(holder):
            holder.write_text(f"{os.getpid()}\n", encoding="ascii")
        yield
    finally:
        lock.release()
