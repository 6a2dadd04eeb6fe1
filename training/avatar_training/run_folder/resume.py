"""Find the snapshot that a run continues from, and set damaged ones aside."""

from collections.abc import Callable, Collection
from itertools import count
from pathlib import Path

from mindspore import Parameter

from avatar_runtime.errors import OutputError
from avatar_training.errors import TrainingError
from avatar_training.run_folder import checkpoint

_TEMPORARY = f".*.{8 * '[0-9a-f]'}.tmp*"
"""How `output.atomic` names a file until it is whole."""


def restore(parameters: Collection[Parameter], out: Path, on_message: Callable[[str], None]) -> int:
    """Load a run folder's newest intact snapshot into a training step. Newer, damaged ones are renamed, not deleted.

    Returns:
        The number of steps that the snapshot has behind it; 0 if the run ended before its first snapshot.

    Raises:
        TrainingError: there are snapshots, but none is intact.
        OutputError: a damaged snapshot cannot be renamed.
    """
    found = checkpoint.snapshots(out / "snapshots")
    for i, path in enumerate(found):
        try:
            checkpoint.load_into(parameters, checkpoint.read_snapshot(path), path)
        except checkpoint.CheckpointError as err:
            on_message(f"cannot resume from {path.name} ({err}); trying the one before")
            continue
        for damaged in found[:i]:
            on_message(f"{damaged.name} is now {set_aside(damaged).name}")
        on_message(f"resuming from {path}")
        return checkpoint.snapshot_step(path)
    if found:
        raise TrainingError(
            f"no snapshot in {out / 'snapshots'} is intact; start over with --restart, which keeps the old files"
        )
    on_message(f"{out} holds no snapshot; starting from step 0")
    return 0


def set_aside(path: Path) -> Path:
    """Rename a file or folder to the first of path.1, path.2, … that is free. Raises OutputError."""
    free = next(old for i in count(1) if not (old := path.with_name(f"{path.name}.{i}")).exists())
    try:
        return path.rename(free)
    except OSError as err:
        raise OutputError(f"cannot rename {path} to {free}: {err.strerror or err}") from err


def remove_temporary_files(out: Path) -> None:
    """Remove the temporary files that killed processes left in a run folder. Raises OutputError."""
    for path in [path for folder in (out, out / "previews", out / "snapshots") for path in folder.glob(_TEMPORARY)]:
        try:
            path.unlink(missing_ok=True)
        except OSError as err:
            raise OutputError(f"cannot remove {path}: {err.strerror or err}") from err
