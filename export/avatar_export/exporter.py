"""From a checkpoint to a proved model file."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from avatar_export.checkpoint import PIXEL_RANGES, GeneratorWeights, UnsuitableCheckpointError, generator_weights
from avatar_export.formats import Candidate, mindir_candidate, onnx_candidate, ort_candidate
from avatar_export.graph import plain_graph
from avatar_export.parity import Network, ParityError, ParityReport, compare, parity_latents, remembered, side_by_side
from avatar_export.passes.batch_norm_folding import batch_norm_folding
from avatar_export.passes.latent_projection import latent_projection
from avatar_export.passes.uint8_head import uint8_head
from avatar_export.variants import FORMATS
from avatar_runtime.errors import InputError
from avatar_runtime.latents import SCHEME
from avatar_runtime.pixels import UInt8, encode, from_network, grid, make_folder, write_file
from avatar_runtime.spec import OUTPUT_NAMES, ModelSpec

PASSES = (batch_norm_folding, latent_projection)
"""Rewrites of the plain graph, in order; the head comes after."""


@dataclass(frozen=True)
class Export:
    """A finished export."""

    path: Path
    spec: ModelSpec
    parity: ParityReport
    size: int
    """Bytes of the file."""


def export_model(
    checkpoint: Path,
    out: Path,
    *,
    format: str = "onnx",
    output: str = "uint8",
    pixel_range: str | None = None,
    name: str | None = None,
    license: str = "",
    provenance: str | None = None,
    report: Path | None = None,
) -> Export:
    """Convert a generator's checkpoint to a model file and prove it equal to the original in MindSpore.

    checkpoint is a run folder (its best.ckpt, or else generator.ckpt), a .ckpt or a .safetensors; format is one of
    FORMATS and the extension of out; output is "uint8" (pixels, [N, H, W, C]) or "float32" (the network's own,
    [N, C, H, W]); pixel_range ("-1..1" or "0..1") overrides the checkpoint's own. With report, the worst pair goes into
    that folder as worst.png, whether the gate is passed or not. Raises InputError, UnsuitableCheckpointError,
    ParityError, OutputError, or CheckpointError if the file cannot be read; then nothing is written to out.
    """
    if format not in FORMATS:
        raise InputError(f"format must be one of {', '.join(FORMATS)}, not {format!r}")
    if out.suffix != f".{format}":
        raise InputError(f"{out} should end in .{format}")
    if output not in OUTPUT_NAMES:
        raise InputError(f"output must be one of {', '.join(OUTPUT_NAMES)}, not {output!r}")
    if pixel_range is not None and pixel_range not in PIXEL_RANGES:
        raise InputError(f"pixel_range must be one of {', '.join(PIXEL_RANGES)}, not {pixel_range!r}")
    checkpoint = generator_file(checkpoint)
    weights = read_weights(checkpoint, pixel_range)
    candidate = build_candidate(weights, output, format)
    reference = remembered(mindspore_network(weights))
    parity = compare(candidate.draw, reference, weights, output)
    if report is not None:
        _write_worst(report, candidate.draw, reference, weights, parity)
    if not parity.passed:
        raise ParityError(
            f"the exported model differs from MindSpore by up to {parity.max_difference:.3g}, more than "
            f"{parity.limit:.3g}, over {parity.latents} latents; nothing was written to {out}"
            + ("" if report else "; --report DIR shows the worst image")
        )
    spec = ModelSpec(
        name=name or out.stem,
        latent_dim=weights.latent_dim,
        image_size=weights.image_size,
        channels=weights.channels,
        output=output,
        pixel_range=weights.pixel_range,
        latent_scheme=SCHEME,
        passes=candidate.passes,
        checkpoint_sha256=weights.sha256,
        parity=parity.to_dict(),
        license=license,
        provenance=provenance if provenance is not None else describe_run(checkpoint, weights.steps),
    )
    spec = candidate.write(out, spec)
    return Export(out, spec, parity, out.stat().st_size)


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
    from avatar_training.checkpoint import read

    arrays = read(checkpoint)
    try:
        digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
        return generator_weights(arrays, digest, PIXEL_RANGES[pixel_range] if pixel_range else None)
    except UnsuitableCheckpointError as err:
        raise UnsuitableCheckpointError(f"{checkpoint}: {err}") from err


def build_candidate(weights: GeneratorWeights, output: str, format: str) -> Candidate:
    """The model in a format, not proved yet."""
    if format == "mindir":
        return mindir_candidate(weights, output)
    model, applied = build_model(weights, output)
    return ort_candidate(model, applied) if format == "ort" else onnx_candidate(model, applied)


def build_model(weights: GeneratorWeights, output: str) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The rewritten graph, without a contract yet, and the names of the passes that changed it."""
    model, applied = plain_graph(weights), []
    for rewrite in PASSES:
        model, changed = rewrite(model)
        if changed:
            applied.append(rewrite.__name__)
    if output == "uint8":
        model, _ = uint8_head(model, weights.pixel_range)
        applied.append(uint8_head.__name__)
    return model, tuple(applied)


def mindspore_network(weights: GeneratorWeights) -> Network:
    """The original in MindSpore, on the CPU, with these weights."""
    from avatar_training.checkpoint import generator_network

    return generator_network(weights.arrays(), *weights.architecture)


def describe_run(checkpoint: Path, steps: int | None) -> str:
    """What the run folder around a checkpoint says of its training; empty if there is none."""
    try:
        run_record = json.loads((checkpoint.parent / "config.json").read_text())
        config, dataset = run_record["config"], run_record["dataset"]
        trained = f"{steps} steps of " if steps else ""
        return (
            f"{Path(config['data']).name}: {dataset['images']} images (SHA-256 {dataset['sha256']}), "
            f"recipe {config['recipe']}, {trained}batch size {config['batch_size']}, seed {config['seed']}"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _write_worst(
    folder: Path, exported: Network, reference: Network, weights: GeneratorWeights, parity: ParityReport
) -> None:
    z = parity_latents(weights.latent_dim)[parity.worst : parity.worst + 1]
    original, drawn = from_network(reference(z), weights.pixel_range), exported(z)
    pixels: UInt8 = drawn if drawn.dtype == np.uint8 else from_network(drawn, weights.pixel_range)
    make_folder(folder)
    sheet = grid(side_by_side(original[0], pixels[0]), columns=3, scale=4)
    write_file(folder / "worst.png", encode(sheet, ".png"))
