"""A temporary folder, for tools that only work on files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from avatar_runtime.errors import OutputError


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a new temporary folder and remove it afterwards.

    Raises OutputError if it cannot be made, or the block cannot write to it.
    """
    folder = None
    try:
        with TemporaryDirectory() as folder:
            yield Path(folder)
    except OSError as err:
        if folder and err.filename is not None and not str(err.filename).startswith(folder):
            raise  # about another file
        raise OutputError(
            f"cannot write temporary files in {gettempdir()}: {err.strerror or err}; "
            "free some space there or set TMPDIR to another folder"
        ) from err
