"""From a checkpoint to a validated model file: read, rewrite, compare, write."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from avatar_export.formats.candidates import Candidate, build_candidate
from avatar_export.report.export_report import report_page
from avatar_export.source.original import Original, open_original
from avatar_export.validation.parity import SELECTION, OnCompared, ParityError, ParityReport, compare
from avatar_export.validation.speed import fastest
from avatar_export.validation.tolerances import tolerance_of
from avatar_export.variants import AUTO, FORMATS, PRECISIONS, Variant
from avatar_runtime.errors import InputError
from avatar_runtime.latents import SCHEME
from avatar_runtime.model_file.metadata import MAX_NAME, MAX_TEXT, MAX_VERSION, ModelSpec
from avatar_runtime.model_file.registry import is_id
from avatar_runtime.output.atomic import make_folder, write_file


@dataclass(frozen=True)
class Options:
    """The settings of an export that do not depend on its form."""

    tolerance: Mapping[str, float] = field(default_factory=dict)
    """Replaces fields of the precision's `Tolerance`, by name."""
    pixel_range: str | None = None
    """"-1..1" or "0..1", the range of the training images; the checkpoint's own by default."""
    prefix: str | None = None
    """What the names of the generator's arrays begin with, if the checkpoint holds several generators."""
    name: str | None = None
    """The model's name in its metadata; by default the file's, which may be an id, as in faces@2.onnx. The names of a
    folder's files begin with it, or the folder's."""
    version: int | None = None
    """Its version; by default the file's, or 1. Name and version are the id, which no other file should have."""
    license: str = ""
    """The licence to state in the metadata."""
    provenance: str | None = None
    """The training data to state in the metadata; from the run's config.json by default."""
    report: Path | None = None
    """A folder for an HTML page about each file, which is written whether or not the file is within its tolerance."""
    on_compared: OnCompared = lambda done, total: None
    """See `OnCompared`; with "auto" the count begins anew for each precision."""


DEFAULTS = Options()


@dataclass(frozen=True)
class Export:
    """A finished export."""

    path: Path
    metadata: ModelSpec
    parity: ParityReport
    size: int
    """Bytes of the file."""
    prefix: str
    """How the names of the generator's arrays begin in the checkpoint."""
    rejected: Mapping[str, str]
    """The other precisions that were tried, each with the reason why it was not chosen."""


def export_model(
    checkpoint_path: Path, path: Path, precision: str = "fp32", output_dtype: str = "uint8", options: Options = DEFAULTS
) -> Export:
    """Convert a generator's checkpoint to a model file.

    Compares the export with the original in MindSpore on 1,000 latents and writes nothing if they differ by more than
    the tolerance.

    Args:
        checkpoint_path: A run folder, a .ckpt or a .safetensors file.
        path: The model to write. Its extension says the format: .onnx, .ort or .mindir.
        precision: "fp32", "fp16", "int8", or "auto": the fastest here that is within its tolerance.
        output_dtype: "uint8" for pixels, [N, H, W, C], or "float32" for the network's own output, [N, C, H, W].
        options: Everything else.

    Returns:
        What was written, with its metadata and the comparison.

    Raises:
        InputError: An argument has no such value.
        CheckpointError: The checkpoint cannot be read.
        UnsuitableCheckpointError: It holds no generator, or no sound one.
        ParityError: The export differs from the original by more than the tolerance.
        ModelCheckError: The finished model is not sound.
        EngineError: The engine in C draws the int8 file differently from onnxruntime.
        OutputError: A file cannot be written.

    Examples:
        >>> export_model(Path("runs/night"), Path("night.onnx"), precision="int8")  # doctest: +SKIP
    """
    if path.suffix[1:] not in FORMATS:
        raise InputError(f"{path} should end in .{', .'.join(FORMATS[:-1])} or .{FORMATS[-1]}")
    variant = Variant(path.suffix[1:], precision, output_dtype)
    original = open_original(checkpoint_path, options.pixel_range, options.prefix)
    return export_variant(original, variant, path, options)


def export_variant(original: Original, variant: Variant, path: Path, options: Options = DEFAULTS) -> Export:
    """Make one variant of a generator, compare it with the original, and write it if it is within its tolerance.

    The arguments, what is returned and what is raised are as in `export_model`.
    """
    name, version = id_of(path.stem)
    name, version = options.name or name, version if options.version is None else options.version
    provenance = original.provenance if options.provenance is None else options.provenance
    check_texts(name, options.license, provenance)
    if not 1 <= version <= MAX_VERSION:
        raise InputError(f"the version must be from 1 to {MAX_VERSION}, not {version}")
    weights = original.weights
    rejected: dict[str, str] = {}
    if variant.precision == AUTO:
        precision, candidate, rejected = choose_precision(original, variant, options)
    else:
        precision, candidate = variant.precision, build_candidate(weights, variant)
    limits = tolerance_of(precision, options.tolerance)
    reference, said = original.reference, options.on_compared
    parity = compare(candidate.draw, reference, weights, variant.output, limits, on_compared=said)
    metadata = ModelSpec(
        name=name,
        version=version,
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
        license=options.license,
        provenance=provenance,
    )
    if options.report is not None:
        make_folder(options.report)
        page = report_page(metadata, parity, candidate.stages, original, candidate.draw)
        write_file(options.report / f"{path.stem}.html", page.encode())
    if not parity.passed:
        raise ParityError(
            f"the exported model differs from MindSpore over {parity.latents} latents: {'; '.join(parity.failures)}; "
            "no model was written" + ("" if options.report else "; --report DIR shows the worst images")
        )
    metadata = candidate.write(path, metadata)
    return Export(path, metadata, parity, path.stat().st_size, weights.prefix, rejected)


def id_of(stem: str) -> tuple[str, int]:
    """The name and version that a file's name gives a model: "faces@2" is version 2 of faces, "faces" version 1."""
    if is_id(stem):
        name, _, version = stem.partition("@")
        return name, int(version)
    return stem.encode("utf-8", "replace").decode()[:MAX_NAME], 1


def check_texts(name: str, license: str, provenance: str) -> None:
    """Raise InputError for a text that a model file cannot hold."""
    texts = {"name": (name, MAX_NAME), "license": (license, MAX_TEXT), "provenance": (provenance, MAX_TEXT)}
    for kind, (text, most) in texts.items():
        if len(text) > most:
            raise InputError(f"the {kind} has {len(text)} characters; a model file holds at most {most}")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise InputError(f"the {kind} is not UTF-8: {text[:40]!a}")


def choose_precision(original: Original, variant: Variant, options: Options) -> tuple[str, Candidate, dict[str, str]]:
    """The fastest precision here that is within its tolerance on latents of the series SELECTION.

    These latents are not the ones of the final comparison, so that no choice is made by what judges it.

    Returns:
        The precision, its model, and for every other precision why it was not chosen.

    Raises:
        ParityError: No precision is within its tolerance.
    """
    weights = original.weights
    candidates: dict[str, Candidate] = {}
    rejected: dict[str, str] = {}
    for precision in PRECISIONS:
        candidate = build_candidate(weights, replace(variant, precision=precision))
        limits = tolerance_of(precision, options.tolerance)
        reference, said = original.reference, options.on_compared
        parity = compare(
            candidate.draw, reference, weights, variant.output, limits, series_name=SELECTION, on_compared=said
        )
        if parity.passed:
            candidates[precision] = candidate
        else:
            rejected[precision] = "; ".join(parity.failures)
    if not candidates:
        reasons = ". ".join(f"{precision}: {reason}" for precision, reason in rejected.items())
        raise ParityError(f"no precision is within its tolerance, so no model was written. {reasons}")
    chosen, slower = fastest({name: each.draw for name, each in candidates.items()}, weights.latent_dim)
    return chosen, candidates[chosen], rejected | slower
