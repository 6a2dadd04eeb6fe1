"""The trained generator that an export starts from, and what it draws: every variant is compared with that."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from avatar_export.source.checkpoint import PIXEL_RANGES, GeneratorWeights, UnsuitableCheckpointError, generator_weights
from avatar_export.validation.parity import Network, remembered
from avatar_runtime.errors import InputError


@dataclass(frozen=True)
class Original:
    """A trained generator."""

    weights: GeneratorWeights
    network: Network
    """The original in MindSpore, on the CPU."""
    drawn: Network
    """The same, drawing each batch once: all variants are compared with it."""
    provenance: str
    """The data it was trained on and how long, if its run says so."""


def open_original(checkpoint: Path, pixel_range: str | None = None) -> Original:
    """The generator of a run folder (its best.ckpt, or else generator.ckpt), a .ckpt or a .safetensors.

    pixel_range ("-1..1" or "0..1") overrides the checkpoint's own. Raises InputError, UnsuitableCheckpointError, or
    CheckpointError if the file cannot be read.
    """
    if pixel_range is not None and pixel_range not in PIXEL_RANGES:
        raise InputError(f"pixel_range must be one of {', '.join(PIXEL_RANGES)}, not {pixel_range!r}")
    checkpoint = generator_file(checkpoint)
    weights = read_weights(checkpoint, pixel_range)
    network = mindspore_network(weights)
    return Original(weights, network, remembered(network), describe_run(checkpoint, weights.steps))


def generator_file(checkpoint: Path) -> Path:
    """The checkpoint file meant by a run folder or a file: of a run best.ckpt, if it chose one, or generator.ckpt.

    Raises UnsuitableCheckpointError if there is none.
    """
    path = checkpoint
    if checkpoint.is_dir():
        best = checkpoint / "best.ckpt"
        path = best if best.is_file() else checkpoint / "generator.ckpt"
    if not path.is_file():
        hint = "the run has not saved one yet" if checkpoint.is_dir() else "name a run folder or a checkpoint"
        raise UnsuitableCheckpointError(f"{path} does not exist; {hint}")
    return path


def newest_checkpoint(runs: Path) -> Path:
    """The generator of the run below runs that saved last. Raises UnsuitableCheckpointError if there is none."""
    found = list(runs.glob("*/generator.ckpt"))
    if not found:
        raise UnsuitableCheckpointError(
            f"no {runs}/*/generator.ckpt here; train one with avatar-train or give --checkpoint"
        )
    return generator_file(max(found, key=lambda path: path.stat().st_mtime).parent)


def read_weights(checkpoint: Path, pixel_range: str | None = None) -> GeneratorWeights:
    """The generator in a checkpoint file. Raises UnsuitableCheckpointError, with the file's name."""
    from avatar_training.run_folder.checkpoint import read

    arrays = read(checkpoint)
    try:
        digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
        return generator_weights(arrays, digest, PIXEL_RANGES[pixel_range] if pixel_range else None)
    except UnsuitableCheckpointError as err:
        raise UnsuitableCheckpointError(f"{checkpoint}: {err}") from err


def mindspore_network(weights: GeneratorWeights) -> Network:
    """The original in MindSpore, on the CPU, with these weights."""
    from avatar_training.run_folder.checkpoint import generator_network

    return generator_network(weights.arrays(), *weights.architecture)


def describe_run(checkpoint: Path, steps: int | None) -> str:
    """What the run folder around a checkpoint says of its training; empty if there is none."""
    try:
        run_record = json.loads((checkpoint.parent / "config.json").read_text())
        config, dataset = run_record["config"], run_record["dataset"]
        trained = f"{steps} steps of " if steps else ""
        begun = f", begun with {Path(config['init_from']).name}" if config.get("init_from") else ""
        return (
            f"{Path(config['data']).name}: {dataset['images']} images (SHA-256 {dataset['sha256']}), "
            f"recipe {config['recipe']}, {trained}batch size {config['batch_size']}, seed {config['seed']}{begun}"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return ""
