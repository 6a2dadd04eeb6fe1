"""`python -m benchmarks`: parses the command line; suite/run.py measures."""

from importlib.util import find_spec
from pathlib import Path

import click

from avatar_runtime.cpus import MAX_THREADS, cpu_limit
from avatar_runtime.errors import AvatarError, InputError
from benchmarks.suite.parts import PARTS
from benchmarks.suite.setting import CHECKPOINT, Setting

NEEDED = ("onnx", "packaging", "scipy")
"""Packages of the extra that would be missed only after minutes."""
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_PATH = click.Path(exists=True, path_type=Path)


@click.command(context_settings={"show_default": True})
@click.argument("parts", nargs=-1, type=click.Choice(PARTS), metavar="[PART]…")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/benchmarks"),
    help="Folder for results.json, RESULTS.md and pictures of the worst faces.",
)
@click.option("--checkpoint", type=_PATH, default=CHECKPOINT, help="Checkpoint or run folder that all contenders use.")
@click.option("--model", type=_FILE, help="Model file of commands and bulk.  [default: the embedded one]")
@click.option("--data", type=_PATH, help="Folder or zip of images for training.  [default: blurred noise]")
@click.option("--threads", type=click.IntRange(1, MAX_THREADS), default=cpu_limit(), help="For every contender.")
@click.option("--compare", "old", type=_FILE, help="An older results.json: exit with 1 if a ratio got worse.")
@click.option("--quick", is_flag=True, help="A third of the rounds, a tenth of the latents: rough figures.")
@click.option("--again", is_flag=True, help="Measure also what results.json already holds.")
def main(
    parts: tuple[str, ...],
    out: Path,
    checkpoint: Path,
    model: Path | None,
    data: Path | None,
    threads: int,
    old: Path | None,
    quick: bool,
    again: bool,
) -> None:
    """Compare avatar-edge with the original and the alternatives.

    PART is one or more of latency, parity, commands, bulk, size and training; all of them by default. Parts that
    results.json holds for the same machine, commit, versions and model are not measured again. A baseline that is not
    installed is skipped; one that fails is shown as failed.

    \b
    Examples:
      python -m benchmarks
      python -m benchmarks latency --again
      python -m benchmarks training --data faces.zip
      python -m benchmarks --compare results-of-last-week.json
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise click.ClickException(f'{", ".join(missing)}: not installed; pip install -e ".[bench]"')
    from avatar_export.source.original import generator_file
    from avatar_runtime.generator import embedded_model
    from benchmarks.suite import compare, results, run

    try:
        setting = Setting(generator_file(checkpoint), model or embedded_model(), out, data, threads, quick)
        before = None if old is None else results.read(old)
        chosen = [part for part in PARTS if part in parts or not parts]
        found, failed = run.run(setting, chosen, again, lambda text: click.echo(text, err=True), click.echo)
        regressions = [] if before is None else compare.regressions(before, found, chosen, click.echo)
    except InputError as err:
        raise click.UsageError(str(err)) from err
    except AvatarError as err:
        raise click.ClickException(str(err)) from err
    except KeyboardInterrupt:
        click.echo("Interrupted. Finished parts are in results.json; run the same command to continue.", err=True)
        raise click.exceptions.Exit(130) from None
    for sentence in regressions:
        click.echo(sentence, err=True)
    if regressions or failed:
        raise click.exceptions.Exit(1)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
