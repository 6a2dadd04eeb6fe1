"""Opens the trained generator that an export starts from, and that every variant is compared with."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from avatar_export.source.checkpoint import PIXEL_RANGES, GeneratorWeights, generator_weights
from avatar_export.source.find_generator import UnsuitableCheckpointError
from avatar_export.validation.parity import Network, cached
from avatar_runtime.errors import InputError


@dataclass(frozen=True)
class Original:
    """A trained generator."""

    weights: GeneratorWeights
    network: Network
    """It in MindSpore, on the CPU."""
    reference: Network
    """The same, but it draws each batch only once. Variants are compared with it."""
    provenance: str
    """The data it was trained on and for how long, if its run says so."""


def open_original(checkpoint_path: Path, pixel_range: str | None = None, prefix: str | None = None) -> Original:
    """Open the generator of a run folder, a .ckpt or a .safetensors file.

    Args:
        checkpoint_path: Of a run folder, its best.ckpt is taken, or else its generator.ckpt.
        pixel_range: "-1..1" or "0..1"; overrides the checkpoint's own.
        prefix: What the names of the generator's arrays begin with, if there are several generators.

    Raises:
        InputError: pixel_range is neither.
        CheckpointError: The file cannot be read.
        UnsuitableCheckpointError: It holds no generator, or no sound one.
    """
    if pixel_range is not None and pixel_range not in PIXEL_RANGES:
        raise InputError(f"pixel_range must be one of {', '.join(PIXEL_RANGES)}, not {pixel_range!r}")
    path = generator_file(checkpoint_path)
    weights = read_weights(path, pixel_range, prefix)
    network = mindspore_network(weights)
    return Original(weights, network, cached(network), describe_run(path, weights.steps))


def generator_file(checkpoint_path: Path) -> Path:
    """The checkpoint file itself: a run folder's best.ckpt, or else its generator.ckpt.

    Raises UnsuitableCheckpointError if there is no such file.
    """
    path = checkpoint_path
    if checkpoint_path.is_dir():
        best = checkpoint_path / "best.ckpt"
        path = best if best.is_file() else checkpoint_path / "generator.ckpt"
    if not path.is_file():
        hint = "the run has not saved one yet" if checkpoint_path.is_dir() else "give a run folder or a checkpoint"
        raise UnsuitableCheckpointError(f"{path} does not exist; {hint}")
    return path


def newest_checkpoint(runs: Path) -> Path:
    """The generator that was saved last by a run in the folder. Raises UnsuitableCheckpointError if there is none."""
    found = list(runs.glob("*/generator.ckpt"))
    if not found:
        raise UnsuitableCheckpointError(
            f"no {runs}/*/generator.ckpt here; train one with avatar-train or give --checkpoint"
        )
    return generator_file(max(found, key=lambda path: path.stat().st_mtime).parent)


def read_weights(path: Path, pixel_range: str | None = None, prefix: str | None = None) -> GeneratorWeights:
    """The generator in a checkpoint file. Raises CheckpointError or UnsuitableCheckpointError, with the file's name."""
    from avatar_training.run_folder.checkpoint import parse, read_bytes

    data = read_bytes(path)
    arrays, digest = parse(path, data), hashlib.sha256(data).hexdigest()
    try:
        return generator_weights(arrays, digest, PIXEL_RANGES[pixel_range] if pixel_range else None, prefix)
    except UnsuitableCheckpointError as err:
        raise UnsuitableCheckpointError(f"{path}: {err}") from err


def mindspore_network(weights: GeneratorWeights) -> Network:
    """The generator in MindSpore, on the CPU."""
    from avatar_training.run_folder.checkpoint import generator_network

    return generator_network(weights.arrays(), *weights.architecture)


def describe_run(path: Path, steps: int | None) -> str:
    """What the run folder of a checkpoint says about its training; empty if there is none."""
    try:
        run_record = json.loads((path.parent / "config.json").read_text(encoding="utf-8"))
        config, dataset = run_record["config"], run_record["dataset"]
        trained = f"{steps} steps of " if steps else ""
        facts = [
            f"{Path(config['data']).name}: {dataset['images']} images (SHA-256 {dataset['sha256']})",
            f"recipe {config['recipe']}",
            f"{trained}batch size {config['batch_size']}",
            f"seed {config['seed']}",
        ]
        if config.get("init_from"):
            facts.append(f"started from {Path(config['init_from']).name}")
        if config.get("critic"):
            facts.append(f"rewarded by {' and '.join(Path(critic).name for critic in config['critic'])}")
        if mix := run_record.get("interpolation"):
            facts.append(f"{mix['share']:g} of the way from {mix['start']}")
        if enlarging := run_record.get("enlarging"):
            facts.append(f"enlarged from {enlarging['pair']} in {enlarging['steps']} steps")
        if steering := run_record.get("steering"):
            facts.append(f"steered to {steering['strength']:g} by {len(steering['graders'])} graders")
        if learned := run_record.get("learned_map"):
            facts.append(f"latents mapped as {len(learned['critics_sha256'])} critics taught")
        return ", ".join(facts)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
