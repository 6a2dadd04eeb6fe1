"""config.json, the run folder's record of itself: configuration, data and environment. Imports no MindSpore."""

import json
from pathlib import Path
from typing import Any

from avatar_runtime.output.atomic import write_file
from avatar_training.config import TrainConfig
from avatar_training.errors import TrainingError


def record_path(out: Path) -> Path:
    """The record of a run folder. Where it exists, there is a run."""
    return out / "config.json"


def write_record(out: Path, config: TrainConfig, dataset: dict[str, Any], critic: dict[str, str] | None,
                 environment: dict[str, str]) -> None:  # fmt: skip
    """Write config.json.

    Args:
        out: the run folder.
        config: the configuration.
        dataset: number and digest of the images, and how many files were skipped for which reason.
        critic: digests of the critic and its classifier, None without a critic.
        environment: what the run is computed with.
    """
    run = {"config": config.to_dict(), "dataset": dataset, "critic": critic, "environment": environment}
    write_file(record_path(out), (json.dumps(run, indent=2) + "\n").encode())


def read_record(out: Path) -> dict[str, Any] | None:
    """Read config.json; None if there is no run in the folder. Raises TrainingError if the file is damaged."""
    path = record_path(out)
    if not path.exists():
        return None
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        TrainConfig.from_dict(run["config"])
        run["dataset"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise TrainingError(f"{path} is damaged ({err}); start over with --restart") from err
    return dict(run)


def refuse_changes(run: dict[str, Any], config: TrainConfig, out: Path) -> None:
    """Raise TrainingError, naming the fields, if config would not continue the recorded run exactly."""
    changed = TrainConfig.from_dict(run["config"]).differences(config)
    if changed:
        fields = ", ".join(f"{name} {old} there and {new} here" for name, (old, new) in changed.items())
        raise TrainingError(f"{out} was started with other settings: {fields}; resume it unchanged or pass --restart")


def widths(pair: Path, image_size: int | None) -> dict[str, int]:
    """ngf and ndf of a run that begins with this pair: the pair's own, halved for each doubling of the image size.

    Empty if the folder has no record. Raises TrainingError if the record is damaged.
    """
    run = read_record(pair)
    if run is None:
        return {}
    own = TrainConfig.from_dict(run["config"])
    doubled = max(1, (image_size or own.image_size) // own.image_size)
    return {"ngf": max(1, own.ngf // doubled), "ndf": max(1, own.ndf // doubled)}


def newest_run(folder: Path) -> Path:
    """The run in `folder` that was written to last. Raises TrainingError if there is none."""
    runs = [path.parent for path in folder.glob("*/config.json")]
    if not runs:
        raise TrainingError(f"there is no run in {folder}; start one with avatar-train")
    return max(runs, key=lambda run: run.stat().st_mtime)
