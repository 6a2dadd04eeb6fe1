"""From a checkpoint to a proved model file: graph, passes, gate, report, file."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import onnx

from avatar_export.formats.candidates import (
    Candidate,
    Stages,
    mindir_candidate,
    onnx_candidate,
    ort_candidate,
)
from avatar_export.graph import plain_graph
from avatar_export.passes.batch_norm_folding import batch_norm_folding
from avatar_export.passes.batch_of_one import batch_of_one
from avatar_export.passes.latent_projection import latent_projection
from avatar_export.passes.phase_convolutions import phase_convolutions
from avatar_export.passes.sub_pixel import sub_pixel
from avatar_export.pipeline import Rewrite, equalized, rewrites
from avatar_export.report.export_report import report_page
from avatar_export.source.checkpoint import GeneratorWeights
from avatar_export.source.original import Original, open_original
from avatar_export.validation.choice import fastest
from avatar_export.validation.parity import ParityError, ParityReport, compare
from avatar_export.validation.tolerances import gate
from avatar_export.variants import AUTO, PRECISIONS, Variant
from avatar_runtime.errors import InputError
from avatar_runtime.latents import SCHEME
from avatar_runtime.model_file.metadata import ModelSpec
from avatar_runtime.output.atomic import make_folder, write_file

NO_LIMITS: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class Export:
    """A finished export."""

    path: Path
    spec: ModelSpec
    parity: ParityReport
    size: int
    """Bytes of the file."""
    lost: Mapping[str, str]
    """The other precisions that were tried, each with the reason why it was not kept."""


def export_model(
    checkpoint: Path,
    out: Path,
    *,
    format: str = "onnx",
    precision: str = "fp32",
    output: str = "uint8",
    limits: Mapping[str, float] = NO_LIMITS,
    pixel_range: str | None = None,
    name: str | None = None,
    license: str = "",
    provenance: str | None = None,
    report: Path | None = None,
) -> Export:
    """Convert a generator's checkpoint to a model file and prove it equal to the original in MindSpore.

    checkpoint and pixel_range are as in `open_original`, format, precision and output as in `Variant`; format is also
    the extension of out. What name, license and provenance say goes into the contract. Raises what `open_original` and
    `export_variant` do; then nothing is written to out.
    """
    variant = Variant(format, precision, output)
    if out.suffix != f".{format}":
        raise InputError(f"{out} should end in .{format}")
    original = open_original(checkpoint, pixel_range)
    return export_variant(
        original,
        variant,
        out,
        limits=limits,
        name=name or out.stem,
        license=license,
        provenance=provenance,
        report=report,
    )


def export_variant(
    original: Original,
    variant: Variant,
    out: Path,
    *,
    name: str,
    limits: Mapping[str, float] = NO_LIMITS,
    license: str = "",
    provenance: str | None = None,
    report: Path | None = None,
) -> Export:
    """Make one variant of a generator, compare it with the original, and write it if they agree.

    limits replace those of the precision's gate, by their names in `gate.Gate`. With report, the page about it goes
    into that folder, named like out, whether the gate is passed or not. Raises InputError, ParityError, ModelCheckError
    or OutputError; then nothing is written to out.
    """
    weights = original.weights
    gates = {each: gate(each, limits) for each in (PRECISIONS if variant.precision == AUTO else [variant.precision])}
    candidates = {each: build_candidate(weights, replace(variant, precision=each)) for each in gates}
    parities = {
        each: compare(candidates[each].draw, original.drawn, weights, variant.output, gates[each]) for each in gates
    }
    lost = {each: "; ".join(parity.failures) for each, parity in parities.items() if not parity.passed}
    proved = {each: candidates[each].draw for each in gates if each not in lost}
    precision = next(iter(proved or gates))
    if len(proved) > 1:
        precision, slower = fastest(proved, weights.latent_dim)
        lost |= slower
    candidate, parity = candidates[precision], parities[precision]
    spec = ModelSpec(
        name=name,
        latent_dim=weights.latent_dim,
        image_size=weights.image_size,
        channels=weights.channels,
        output=variant.output,
        pixel_range=weights.pixel_range,
        latent_scheme=SCHEME,
        batch=1 if variant.accelerator else None,
        precision=precision,
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
            f"the exported model differs from MindSpore over {parity.latents} latents: {'; '.join(parity.failures)}; "
            "no model was written" + ("" if report else "; --report DIR shows the worst images")
        )
    spec = candidate.write(out, spec)
    return Export(out, spec, parity, out.stat().st_size, lost)


def build_candidate(weights: GeneratorWeights, variant: Variant) -> Candidate:
    """The model in its format, not proved yet."""
    if variant.format == "mindir":
        return mindir_candidate(weights, variant.output)
    stages = build_stages(weights, variant)
    return ort_candidate(stages) if variant.format == "ort" else onnx_candidate(stages)


def build_stages(weights: GeneratorWeights, variant: Variant) -> Stages:
    """The plain graph, and what each rewrite made of it; the last is the finished graph, without a contract."""
    stages = [("plain graph", plain_graph(weights))]
    own = (sub_pixel, batch_of_one) if variant.accelerator else () if variant.transposed else (phase_convolutions,)
    passes: dict[str, Rewrite] = {
        "batch_norm_folding": batch_norm_folding,
        **({"channel_equalization": equalized} if variant.precision == "int8" else {}),
        "latent_projection": latent_projection,
        **{rewrite.__name__: rewrite for rewrite in own},
        **rewrites(variant.precision, variant.output, weights.pixel_range),
    }
    for name, rewrite in passes.items():
        model, changed = rewrite(stages[-1][1])
        if changed:
            stages.append((name, model))
    return tuple(stages)


def build_model(
    weights: GeneratorWeights, output: str, precision: str = "fp32"
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The rewritten graph, without a contract yet, and the names of the passes that changed it."""
    _, *rewritten = stages = build_stages(weights, Variant(precision=precision, output=output))
    return stages[-1][1], tuple(name for name, _ in rewritten)
