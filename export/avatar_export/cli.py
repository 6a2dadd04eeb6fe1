"""avatar-export: parses, calls the library, prints what was proved."""

import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from avatar_export.report.inspection import inspect
from avatar_export.source.checkpoint import PIXEL_RANGES
from avatar_export.validation.tolerances import Gate
from avatar_export.variants import AUTO, FORMATS, PRECISIONS, TARGETS
from avatar_runtime.errors import AvatarError, InputError
from avatar_runtime.model_file.metadata import OUTPUT_NAMES

if TYPE_CHECKING:
    from avatar_export.exporter import Export

RUNS = Path("runs")
HTML = "html"
INSTALL = 'pip install "avatar-edge[export]", on Python 3.10 to 3.12, for which MindSpore has wheels'


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="onnx",
    help="File format: ort is for reduced builds of onnxruntime, mindir for MindSpore.",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    metavar="RUN_DIR|FILE",
    help="A run folder, a .ckpt or a .safetensors.  [default: the newest run in runs/]",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Model to write.  [default: generator.FORMAT]"
)
@click.option(
    "--target",
    type=(click.Choice([*TARGETS, HTML]), click.Path(path_type=Path)),
    metavar="NAME PATH",
    help=f"Instead of one file, a folder of what runs best on {', '.join(TARGETS)}, with a manifest; "
    f"or {HTML}, one page that draws in any browser, with no server.",
)
@click.option(
    "--ort",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help=f"For {HTML}: onnxruntime-web's folder dist.  [default: in node_modules, here or above]",
)
@click.option(
    "--output",
    type=click.Choice(list(OUTPUT_NAMES)),
    default="uint8",
    help="What the model gives: pixels ready to show, or the network's own numbers.",
)
@click.option(
    "--precision",
    type=click.Choice([*PRECISIONS, AUTO]),
    default="fp32",
    help="fp16 halves the file, int8 also computes in bytes; auto keeps the fastest that passes its gate.",
)
@click.option(
    "--limit",
    type=(click.Choice([field.name for field in fields(Gate)]), float),
    multiple=True,
    help="Replace a limit of the gate.",
)
@click.option(
    "--pixel-range",
    type=click.Choice(list(PIXEL_RANGES)),
    help="Range of the training images.  [default: the checkpoint's own]",
)
@click.option(
    "--report", type=click.Path(path_type=Path), metavar="DIR", help="Also write a page: passes, parity, worst images."
)
@click.option(
    "--inspect",
    "inspected",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Only print the contract of a model file, and check its golden images.",
)
@click.option("--name", metavar="TEXT", help="Name of the model in its contract.  [default: the file's or folder's]")
@click.option("--license", metavar="TEXT", default="", show_default=False, help="Licence to state in the contract.")
@click.option("--provenance", metavar="TEXT", help="Training data to state.  [default: from the run's config.json]")
@click.version_option(package_name="avatar-edge")
def main(
    format_: str,
    checkpoint: Path | None,
    out: Path | None,
    target: tuple[str, Path] | None,
    ort: Path | None,
    output: str,
    precision: str,
    limit: tuple[tuple[str, float], ...],
    pixel_range: str | None,
    report: Path | None,
    inspected: Path | None,
    name: str | None,
    license: str,
    provenance: str | None,
) -> None:
    """Convert a trained generator, and prove the result equal to the original before it is written.

    \b
    Examples:
      avatar-export --format onnx
      avatar-export --format onnx --checkpoint runs/night --out night.onnx --report proof
      avatar-export --checkpoint tutorial/generator.ckpt --pixel-range 0..1
      avatar-export --precision auto --limit psnr 46
      avatar-export --target desktop models
      avatar-export --target html page.html
      avatar-export --inspect night.onnx
    """
    try:
        if inspected is not None:
            click.echo(inspect(inspected))
            return
        _check_usage(target)
        os.environ.setdefault("GLOG_v", "3")  # MindSpore's C++ side warns of its own internals
        try:
            import mindspore  # noqa: F401

            from avatar_export.exporter import export_model
            from avatar_export.formats.html_page import export_page
            from avatar_export.source.original import generator_file, newest_checkpoint
            from avatar_export.targets import export_target
        except ModuleNotFoundError as err:
            raise click.ClickException(f"avatar-export needs {err.name}: {INSTALL}") from err
        if checkpoint is None or checkpoint.is_dir():
            checkpoint = generator_file(checkpoint) if checkpoint else newest_checkpoint(RUNS)
            click.echo(f"checkpoint {checkpoint}")
        common: dict[str, Any] = {"limits": dict(limit), "pixel_range": pixel_range, "report": report}
        common |= {"name": name, "license": license, "provenance": provenance}
        if target is None:
            form: dict[str, Any] = {"format": format_, "precision": precision, "output": output}
            path = out or Path(f"generator.{format_}")
            _tell(export_model(checkpoint, path, **form, **common))
        elif target[0] == HTML:
            _tell(export_page(checkpoint, target[1], ort=ort, **common))
        else:
            made = export_target(checkpoint, *target, **common)
            for export in made.exports:
                _tell(export)
            click.echo(f"{made.folder}: {', '.join(made.manifest['files'])} and manifest.json")
    except InputError as err:
        raise click.UsageError(str(err)) from err
    except AvatarError as err:
        raise click.ClickException(str(err)) from err


def _check_usage(target: tuple[str, Path] | None) -> None:
    context = click.get_current_context()
    for option in ("format_", "out", "output", "precision"):
        given = context.get_parameter_source(option) is not click.core.ParameterSource.DEFAULT
        if target is not None and given:
            raise click.UsageError(f"--target decides what files there are; --{option.strip('_')} makes a single one")


def _tell(export: "Export") -> None:
    spec, parity = export.spec, export.parity
    for lost, reason in export.lost.items():
        click.echo(f"{lost} was not kept: {reason}")
    click.echo(
        f"{export.path}: {spec.image_size}x{spec.image_size}x{spec.channels}, latent {spec.latent_dim}, "
        f"{spec.precision}, {export.size / 1e6:.2f} MB, passes {', '.join(spec.passes) or 'none'}"
    )
    unit = "levels" if spec.output == "uint8" else "(network's range)"
    psnr = "infinite" if parity.psnr_db is None else f"{parity.psnr_db:.1f} dB"
    sizes = ", ".join(map(str, parity.batch_sizes))
    click.echo(
        f"parity with MindSpore over {parity.latents} latents at batch sizes {sizes}: max {parity.max_difference:.3g}, "
        f"mean {parity.mean_difference:.3g} {unit}, limit {parity.limit:.3g}; PSNR {psnr}"
    )
    total = sum(parity.level_histogram.values())
    for level, count in parity.level_histogram.items():
        click.echo(f"  {level} levels apart: {count} of {total} values ({100 * count / total:.4f}%)")
