"""config.json, the run folder's record of itself: configuration, data and environment. Imports no MindSpore.

It is kept twice, with a checksum, because no snapshot can be used without it.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from avatar_runtime.output.atomic import replacing
from avatar_training.config import TrainConfig, as_options
from avatar_training.errors import TrainingError

_FIELDS = {"config", "dataset", "files", "environment", "enlarging", "interpolation", "learned_map", "steering"}


def record_path(out: Path) -> Path:
    """The record of a run folder."""
    return out / "config.json"


def _copies(out: Path) -> tuple[Path, Path]:
    return record_path(out), out / ".config.json"


def has_record(out: Path) -> bool:
    """Whether there is a run in the folder."""
    return any(path.exists() for path in _copies(out))


def write_record(out: Path, record: dict[str, Any]) -> None:
    """Write config.json and its copy. They are on the disk before this returns. Raises OutputError."""
    data = (json.dumps({**record, "sha256": _digest(record)}, indent=2) + "\n").encode()
    for path in _copies(out):
        with replacing(path) as temporary, temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave an empty file


def read_record(out: Path, on_message: Callable[[str], None] = lambda message: None) -> dict[str, Any] | None:
    """Read config.json, or its copy if it is damaged, and say so; None if there is no run in the folder.

    Raises TrainingError if neither can be used.
    """
    problems = []
    for path in _copies(out):
        if path.exists():
            try:
                record = _read(path)
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
                problems.append(f"{path} is damaged ({getattr(err, 'strerror', None) or err})")
                continue
            if problems:
                on_message(f"{problems[0]}; using its copy, {path.name}")
            return record
    if not problems:
        return None
    advice = f"train on from its networks with --init-from {out} and another --out, or start over with --restart"
    raise TrainingError(f"{problems[0]}; {advice}")


def _read(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_bytes())
    digest = record.pop("sha256", None)  # written by hand, it has none
    if digest is not None and digest != _digest(record):
        raise ValueError("its checksum does not match")
    if unknown := record.keys() - _FIELDS:
        raise ValueError(f"unknown field {min(unknown)!r}")
    TrainConfig.from_dict(record["config"])
    dataset = record["dataset"]
    if not (isinstance(dataset["sha256"], str) and isinstance(dataset.get("images", 0), int)):
        raise ValueError("dataset has no digest and number of images")
    if not isinstance(record.get("files", {}), dict):
        raise ValueError("files is not an object")
    return record


def _digest(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def refuse_changes(run: dict[str, Any], config: TrainConfig, out: Path) -> bool:
    """Raise TrainingError, naming the fields, if config or its files would not continue the recorded run.

    It continues exactly, unless --critic or --critic-network names another file, as it may: a critic wears out.
    Returns whether that is so.
    """
    before = TrainConfig.from_dict(run["config"])
    changed = before.differences(config)
    if changed:
        fields = ", ".join(f"{name} {old} there and {new} here" for name, (old, new) in changed.items())
        raise TrainingError(f"{out} was started with other settings: {fields}; resume it unchanged or pass --restart")
    files = config.changed_files(run.get("files", {}))
    may_change = {"critic", "critic_network"} if before.critic and config.critic else set()
    wrong = [name for name in files if name not in may_change or getattr(before, name) == getattr(config, name)]
    if wrong:
        raise TrainingError(
            f"{out} was started with another file, or none, as {as_options(wrong)}; pass the same file, or start "
            "another run from its networks with --init-from"
        )
    return bool(files)


def shapes_of(pair: Path, image_size: int | None) -> dict[str, Any]:
    """The networks' fields of a run that begins with this pair: its own, widths halved for each doubling of the size.

    Without an image_size the size is the pair's. Empty if the folder has no record. Raises TrainingError if the record
    is damaged.
    """
    run = read_record(pair)
    if run is None:
        return {}
    own = TrainConfig.from_dict(run["config"])
    image_size = image_size or own.image_size
    doubled = max(1, image_size // own.image_size)
    widths = {"ngf": max(1, own.ngf // doubled), "ndf": max(1, own.ndf // doubled)}
    same = {name: getattr(own, name) for name in ("generator", "bounded", "mirror")}
    return {"image_size": image_size, **same, **widths}


def newest_run(folder: Path) -> Path:
    """The run in `folder` that was written to last. Raises TrainingError if there is none."""
    runs = [path.parent for path in folder.glob("*/config.json")]
    if not runs:
        raise TrainingError(f"there is no run in {folder}; start one with avatar-train")
    return max(runs, key=lambda run: run.stat().st_mtime)
