"""One process at a time on a run folder."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avatar_runtime.errors import OutputError
from avatar_training.errors import TrainingError

if sys.platform != "win32":  # which has no flock: there a run is not guarded
    from fcntl import LOCK_EX, LOCK_NB, flock


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep a folder for this process. Raises TrainingError, naming the process that has it, or OutputError.

    The lock is the operating system's: flock on a file in the folder. It ends with the process, however that ends, and
    goes along when the folder is renamed. The file's content, a process id, serves the message alone.
    """
    path = folder / ".lock"
    try:
        file = path.open("a+")
    except OSError as err:
        raise OutputError(f"cannot write {path}: {err.strerror or err}") from err
    with file:
        try:
            if sys.platform != "win32":
                flock(file, LOCK_EX | LOCK_NB)
            file.truncate(0)
            print(os.getpid(), file=file, flush=True)
        except BlockingIOError as err:
            holder = path.read_text().strip()
            raise TrainingError(f"process {holder} is training in {folder}; stop it, or give another --out") from err
        except OSError as err:
            raise OutputError(f"cannot lock {path}: {err.strerror or err}") from err
        yield
