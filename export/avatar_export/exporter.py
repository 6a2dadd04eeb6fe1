"""From a checkpoint to a proved model file: graph, passes, gate, report, file."""

from dataclasses import dataclass
from pathlib import Path

import onnx

from avatar_export.checkpoint import GeneratorWeights
from avatar_export.formats import Candidate, Stages, mindir_candidate, onnx_candidate, ort_candidate
from avatar_export.graph import plain_graph
from avatar_export.original import Original, open_original
from avatar_export.parity import ParityError, ParityReport, compare
from avatar_export.passes.batch_norm_folding import batch_norm_folding
from avatar_export.passes.batch_of_one import batch_of_one
from avatar_export.passes.latent_projection import latent_projection
from avatar_export.passes.sub_pixel import sub_pixel
from avatar_export.passes.uint8_head import uint8_head
from avatar_export.report import report_page
from avatar_export.variants import Variant
from avatar_runtime.errors import InputError
from avatar_runtime.latents import SCHEME
from avatar_runtime.pixels import make_folder, write_file
from avatar_runtime.spec import ModelSpec

PASSES = (batch_norm_folding, latent_projection)
"""Rewrites of every graph, in order; those of a variant and the head come after."""


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

    checkpoint and pixel_range are as in `open_original`, format and output as in `Variant`; format is also the
    extension of out. What name, license and provenance say goes into the contract. Raises what `open_original` and
    `export_variant` do; then nothing is written to out.
    """
    variant = Variant(format=format, output=output)
    if out.suffix != f".{format}":
        raise InputError(f"{out} should end in .{format}")
    original = open_original(checkpoint, pixel_range)
    return export_variant(
        original, variant, out, name=name or out.stem, license=license, provenance=provenance, report=report
    )


def export_variant(
    original: Original,
    variant: Variant,
    out: Path,
    *,
    name: str,
    license: str = "",
    provenance: str | None = None,
    report: Path | None = None,
) -> Export:
    """Make one variant of a generator, compare it with the original, and write it if they agree.

    With report, the page about it goes into that folder, named like out, whether the gate is passed or not. Raises
    ParityError, ModelCheckError or OutputError; then nothing is written to out.
    """
    weights = original.weights
    candidate = build_candidate(weights, variant)
    parity = compare(candidate.draw, original.drawn, weights, variant.output)
    spec = ModelSpec(
        name=name,
        latent_dim=weights.latent_dim,
        image_size=weights.image_size,
        channels=weights.channels,
        output=variant.output,
        pixel_range=weights.pixel_range,
        latent_scheme=SCHEME,
        batch=1 if variant.accelerator else None,
        precision=variant.precision,
        passes=tuple(rewrite for rewrite, _ in candidate.stages[1:]),
        checkpoint_sha256=weights.sha256,
        parity=parity.to_dict(),
        license=license,
        provenance=original.provenance if provenance is None else provenance,
    )
    if report is not None:
        make_folder(report)
        page = report_page(spec, parity, candidate.stages, original, candidate.draw)
        write_file(report / f"{out.stem}.html", page.encode())
    if not parity.passed:
        raise ParityError(
            f"the exported model differs from MindSpore by up to {parity.max_difference:.3g}, more than "
            f"{parity.limit:.3g}, over {parity.latents} latents; no model was written"
            + ("" if report else "; --report DIR shows the worst images")
        )
    spec = candidate.write(out, spec)
    return Export(out, spec, parity, out.stat().st_size)


def build_candidate(weights: GeneratorWeights, variant: Variant) -> Candidate:
    """The model in its format, not proved yet."""
    if variant.format == "mindir":
        return mindir_candidate(weights, variant.output)
    stages = build_stages(weights, variant)
    return ort_candidate(stages) if variant.format == "ort" else onnx_candidate(stages)


def build_stages(weights: GeneratorWeights, variant: Variant) -> Stages:
    """The plain graph, and what each rewrite made of it; the last is the finished graph, without a contract."""
    stages = [("plain graph", plain_graph(weights))]
    for rewrite in (*PASSES, sub_pixel, batch_of_one) if variant.accelerator else PASSES:
        model, changed = rewrite(stages[-1][1])
        if changed:
            stages.append((rewrite.__name__, model))
    if variant.output == "uint8":
        stages.append((uint8_head.__name__, uint8_head(stages[-1][1], weights.pixel_range)[0]))
    return tuple(stages)


def build_model(weights: GeneratorWeights, output: str) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The rewritten graph, without a contract yet, and the names of the passes that changed it."""
    _, *rewritten = stages = build_stages(weights, Variant(output=output))
    return stages[-1][1], tuple(name for name, _ in rewritten)
