"""`python -m benchmarks`: the command. It parses; `run.py` measures."""

from importlib.util import find_spec
from pathlib import Path

import click

from avatar_runtime.cpus import MAX_THREADS, cpu_limit
from avatar_runtime.errors import AvatarError, InputError
from benchmarks.suite.run import PARTS
from benchmarks.suite.setting import CHECKPOINT, Setting

NEEDED = ("matplotlib", "onnx", "packaging", "scipy")
"""Packages of the extra that are missed only after minutes."""
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(context_settings={"show_default": True})
@click.argument("parts", nargs=-1, type=click.Choice(PARTS), metavar="[PART]…")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/benchmarks"),
    help="Where results.json, report.html and the plots go.",
)
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, path_type=Path),
    default=CHECKPOINT,
    help="A checkpoint or run folder: all rivals get its weights.",
)
@click.option("--model", type=_FILE, help="The model file of cold-start, bulk and memory.  [default: the embedded one]")
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="Real faces, for KID and training.",
)
@click.option("--features", type=_FILE, help="An ONNX file that turns images into features, for KID.")
@click.option(
    "--python",
    "pythons",
    type=_FILE,
    multiple=True,
    help="One with another onnxruntime, to draw with it too.",
)
@click.option("--threads", type=click.IntRange(1, MAX_THREADS), default=cpu_limit(), help="Of every rival.")
@click.option(
    "--compare",
    "old",
    type=_FILE,
    help="An older results.json: exit with 1 if a ratio is worse.",
)
@click.option("--quick", is_flag=True, help="A third of the rounds, a tenth of the latents: rough.")
@click.option("--again", is_flag=True, help="Measure also what results.json holds already.")
def main(
    parts: tuple[str, ...],
    out: Path,
    checkpoint: Path,
    model: Path | None,
    data: Path | None,
    features: Path | None,
    pythons: tuple[Path, ...],
    threads: int,
    old: Path | None,
    quick: bool,
    again: bool,
) -> None:
    """Measure avatar-edge beside its original and its alternatives: PART of latency, parity, cold-start, bulk, memory,
    size, training; all without any.

    What is finished in results.json of the same machine, versions and model is not measured again. An alternative that
    is not installed is skipped, one that fails is shown as failed and tried again by the next run.

    \b
    Examples:
      python -m benchmarks
      python -m benchmarks latency --out build/benchmarks --again
      python -m benchmarks parity --features features.onnx --data faces.zip
      python -m benchmarks --compare results-of-last-week.json
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise click.ClickException(f'{", ".join(missing)}: not installed; pip install -e ".[bench]"')
    from avatar_export.source.original import generator_file
    from avatar_runtime.generator import embedded_model
    from benchmarks.suite import compare, results, run

    try:
        setting = Setting(
            checkpoint=generator_file(checkpoint),
            model=model or embedded_model(),
            out=out,
            features=features,
            data=data,
            pythons=pythons,
            threads=threads,
            quick=quick,
        )
        before = None if old is None else results.read(old)
        chosen = [part for part in PARTS if part in parts or not parts]
        found, failed = run.run(setting, chosen, again, lambda said: click.echo(said, err=True), click.echo)
        regressions = [] if before is None else compare.regressions(before, found, chosen, click.echo)
    except InputError as err:
        raise click.UsageError(str(err)) from err
    except AvatarError as err:
        raise click.ClickException(str(err)) from err
    except KeyboardInterrupt:
        click.echo("Interrupted: finished parts are in results.json; the same command goes on.", err=True)
        raise click.exceptions.Exit(130) from None
    for sentence in regressions:
        click.echo(sentence, err=True)
    if regressions or failed:
        raise click.exceptions.Exit(1)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
