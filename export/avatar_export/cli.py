"""avatar-export: reads the options, makes one call to the library, prints the result."""

import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from avatar_export.report.inspection import inspect
from avatar_export.source.checkpoint import PIXEL_RANGES
from avatar_export.validation.tolerances import Tolerance
from avatar_export.variants import AUTO, FORMATS, PRECISIONS, TARGETS
from avatar_runtime.command.base import SETTINGS, Command, group, version_option
from avatar_runtime.command.progress import ProgressBar
from avatar_runtime.model_file.metadata import MAX_VERSION, OUTPUT_NAMES

if TYPE_CHECKING:
    from avatar_export.exporter import Export

RUNS = Path("runs")
HTML = "html"
PATH = click.Path(path_type=Path)

_what = group("What to export", configurable=True)
_where = group("Where")
_how = group("Precision and tolerance", configurable=True)
_say = group("What the file says of itself", configurable=True)
_instead = group("Instead of exporting")


@click.command(cls=Command, extra="export", table="export", context_settings=SETTINGS)
@_what(
    "--checkpoint",
    "checkpoint_path",
    type=PATH,
    metavar="RUN_DIR|FILE",
    help="A run folder, a .ckpt or a .safetensors file.  [default: the newest run in runs/]",
)
@_what(
    "--prefix",
    metavar="TEXT",
    help="Start of the names of the generator's arrays, if the checkpoint holds several generators.",
)
@_what(
    "--pixel-range",
    type=click.Choice(list(PIXEL_RANGES)),
    help="Range of the training images.  [default: the checkpoint's own]",
)
@_where("--out", "path", type=PATH, metavar="FILE", help="Model to write.  [default: generator.FORMAT]")
@_where(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="File format, where no --out gives it by its extension: onnx, ort (for reduced builds of onnxruntime) or "
    "mindir (for MindSpore).  [default: onnx]",
)
@_where(
    "--target",
    type=(click.Choice([*TARGETS, HTML]), PATH),
    metavar="NAME PATH",
    help=f"Instead of one file, write a folder with the best files for {', '.join(TARGETS)}, and a manifest; "
    f"or for {HTML} one page that draws in any browser, without a server.",
)
@_where("--report", type=PATH, metavar="DIR", help="Also write an HTML page: passes, comparison, worst images, speed.")
@_how(
    "--precision",
    type=click.Choice([*PRECISIONS, AUTO]),
    default="fp32",
    help="fp16 halves the file; int8 also computes in bytes; auto takes the fastest that is within its tolerance.",
)
@_how(
    "--output-dtype",
    type=click.Choice(list(OUTPUT_NAMES)),
    default="uint8",
    help="Output of the model: uint8 pixels ready to show, or the network's own float32.",
)
@_how(
    "--tolerance",
    type=(click.Choice([field.name for field in fields(Tolerance)]), float),
    metavar="NAME VALUE",
    multiple=True,
    help="Replace a limit of how far the export may be from the original: "
    f"{', '.join(field.name for field in fields(Tolerance))}; repeatable.",
)
@_say("--model-name", metavar="TEXT", help="Name in the metadata.  [default: the file's or folder's]")
@_say(
    "--model-version",
    type=click.IntRange(1, MAX_VERSION),
    metavar="N",
    help="Version in the metadata.  [default: the file's, as in faces@2.onnx, or 1]",
)
@_say("--license", metavar="TEXT", default="", show_default=False, help="Licence to state in the metadata.")
@_say("--provenance", metavar="TEXT", help="Training data to state.  [default: from the run's config.json]")
@_instead(
    "--inspect", "inspected", type=PATH, metavar="FILE", help="Only print a model file's metadata and check its images."
)
@version_option
def main(
    checkpoint_path: Path | None,
    prefix: str | None,
    pixel_range: str | None,
    path: Path | None,
    format_: str | None,
    target: tuple[str, Path] | None,
    output_dtype: str,
    precision: str,
    tolerance: tuple[tuple[str, float], ...],
    report: Path | None,
    inspected: Path | None,
    model_name: str | None,
    model_version: int | None,
    license: str,
    provenance: str | None,
) -> None:
    """Convert a trained generator to a model file.

    Compares the export with the original on 1,000 latents and writes nothing if they differ by more than the tolerance.

    \b
    Examples:
      avatar-export
      avatar-export --checkpoint runs/night --out night.onnx --report report
      avatar-export --checkpoint tutorial/generator.ckpt --pixel-range 0..1
      avatar-export --precision auto --tolerance psnr 46
      avatar-export --target desktop models
      avatar-export --target html page.html
      avatar-export --inspect night.onnx
    """
    if inspected is not None:
        click.echo(inspect(inspected))
        return
    _check_usage(target, path, format_)
    os.environ.setdefault("GLOG_v", "3")  # MindSpore's C++ code warns about its own internals
    import mindspore  # noqa: F401

    from avatar_export.exporter import Options, export_model
    from avatar_export.formats.html_page import export_page
    from avatar_export.source.original import generator_file, newest_checkpoint
    from avatar_export.targets import export_target

    if checkpoint_path is None or checkpoint_path.is_dir():
        checkpoint_path = generator_file(checkpoint_path) if checkpoint_path else newest_checkpoint(RUNS)
        click.echo(f"checkpoint {checkpoint_path}")
    options = Options(
        tolerance=dict(tolerance),
        pixel_range=pixel_range,
        prefix=prefix,
        name=model_name,
        version=model_version,
        license=license,
        provenance=provenance,
        report=report,
        on_compared=click.get_current_context().with_resource(ProgressBar("comparing")).show,
    )
    if target is None:
        path = path or Path(f"generator.{format_ or FORMATS[0]}")
        _print(export_model(checkpoint_path, path, precision, output_dtype, options))
    elif target[0] == HTML:
        _print(export_page(checkpoint_path, target[1], options))
    else:
        finished = export_target(checkpoint_path, *target, options)
        for export in finished.exports:
            _print(export)
        click.echo(f"{finished.folder}: {', '.join(finished.manifest['files'])} and manifest.json")


def _check_usage(target: tuple[str, Path] | None, path: Path | None, format_: str | None) -> None:
    context = click.get_current_context()
    for parameter, option in (
        ("format_", "--format"),
        ("path", "--out"),
        ("output_dtype", "--output-dtype"),
        ("precision", "--precision"),
    ):
        given = context.get_parameter_source(parameter) is click.core.ParameterSource.COMMANDLINE
        if target is not None and given:
            raise click.UsageError(f"--target decides which files are written; {option} is for a single file")
    if path is not None and format_ is not None and path.suffix != f".{format_}":
        raise click.UsageError(f"--out {path} does not end in .{format_}; leave --format out or change the name")


def _print(export: "Export") -> None:
    metadata, parity = export.metadata, export.parity
    if export.prefix != "generator.":
        click.echo(f"generator found under {export.prefix or 'no prefix'}")
    for precision, reason in export.rejected.items():
        click.echo(f"{precision} was not chosen: {reason}")
    size = f"{metadata.image_size}x{metadata.image_size}x{metadata.channels}"
    click.echo(
        f"{export.path}: {metadata.id}, {size}, latent {metadata.latent_dim}, {metadata.precision}, "
        f"{export.size / 1e6:.2f} MB, passes {', '.join(metadata.passes) or 'none'}"
    )
    unit = "levels" if metadata.output == "uint8" else "(network's range)"
    psnr = "infinite" if parity.psnr_db is None else f"{parity.psnr_db:.1f} dB"
    sizes = ", ".join(map(str, parity.batch_sizes))
    click.echo(
        f"compared with MindSpore on {parity.latents} latents at batch sizes {sizes}: max {parity.max_difference:.3g}, "
        f"mean {parity.mean_difference:.3g} {unit}, limit {parity.limit:.3g}; PSNR {psnr}"
    )
    total = sum(parity.level_histogram.values())
    for level, count in parity.level_histogram.items():
        click.echo(f"  {level} levels apart: {count} of {total} values ({100 * count / total:.4f}%)")
