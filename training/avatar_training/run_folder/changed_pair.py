"""The folder of a pair that a command has made of another: there whole, or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mindspore import Tensor

from avatar_runtime.output.atomic import make_folder
from avatar_training.errors import TrainingError
from avatar_training.run_folder import checkpoint
from avatar_training.run_folder.record import write_record


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that becomes path if the block succeeds. It is made first, to refuse an unusable path at once.

    Raises TrainingError if path exists, OutputError if it cannot be made.
    """
    if path.exists():
        raise TrainingError(f"{path} exists already; name a new folder")
    temporary = path.with_name(f".{path.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed here
    make_folder(temporary)
    try:
        yield temporary
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_pair(
    folder: Path, generator: checkpoint.Arrays, discriminator: checkpoint.Arrays, record: dict[str, Any]
) -> None:
    """Write generator.ckpt, discriminator.ckpt and config.json. Raises OutputError."""
    for file, arrays in (("generator.ckpt", generator), ("discriminator.ckpt", discriminator)):
        checkpoint.save(folder / file, {name: Tensor(array) for name, array in arrays.items()})
    write_record(folder, record)
