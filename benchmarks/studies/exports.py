"""Every format, precision and target of one checkpoint, proved and timed: `python -m benchmarks.studies.exports`

Prints the table of benchmarks/README.md. Each latency is a median of runs that alternate with MindSpore's and all
others' in one process.
"""

import os
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benchmarks.suite.models import LIMITS

EMBEDDED = Path("training/pretrained/anime-faces-64")


@click.command()
@click.option("--checkpoint", type=click.Path(exists=True, path_type=Path), default=EMBEDDED, show_default=True)
def main(checkpoint: Path) -> None:
    """Export a checkpoint in every form and print a table of sizes, parity and latency."""
    os.environ.setdefault("GLOG_v", "3")
    from avatar_export.exporter import export_variant
    from avatar_export.source.original import open_original
    from avatar_export.validation.parity import Network
    from avatar_export.validation.speed import latency
    from avatar_export.variants import FORMATS, PRECISIONS, TARGETS, Variant
    from avatar_runtime.session import open_session, run

    names: dict[Variant, list[str]] = {}
    for precision in PRECISIONS:
        names.setdefault(Variant(precision=precision), []).append(f"`--precision {precision}`")
    for format_ in FORMATS[1:]:
        names.setdefault(Variant(format=format_), []).append(f"`--format {format_}`")
    for target, files in TARGETS.items():
        for file, variant in files.items():
            names.setdefault(variant, []).append(f"{target}/{file}")
    original = open_original(checkpoint)
    networks: dict[str, Network] = {"MindSpore": original.network}
    rows = {}
    with TemporaryDirectory() as folder:
        for variant, called in names.items():
            name, path = ", ".join(called), Path(folder, f"model.{variant.format}")
            limits = LIMITS.get(variant.precision, {})
            rows[name] = export_variant(original, variant, path, name="model", limits=limits)
            click.echo(f"{name}: proved", err=True)
            if variant.format == "mindir":
                from avatar_export.formats import mindir_file

                networks[name] = mindir_file.load(path.read_bytes())
            else:
                networks[name] = partial(run, open_session(path))
        times = {batch: latency(networks, original.weights.latent_dim, batch) for batch in (1, 64)}
    print("| what | MB | largest difference | mean | PSNR | batch 1 | batch 64 |\n|---|---|---|---|---|---|---|")
    for name in networks:
        cells = [name]
        if name in rows:
            parity = rows[name].parity
            unit = "levels" if rows[name].spec.output == "uint8" else "of [-1, 1]"
            psnr = "equal" if parity.psnr_db is None else f"{parity.psnr_db:.1f} dB"
            cells += [f"{rows[name].size / 1e6:.2f}", f"{parity.max_difference:.3g} {unit}"]
            cells += [f"{parity.mean_difference:.2g}", psnr]
        else:
            cells += [""] * 4
        cells += [
            f"{times[batch][name]:.2f} ms ({times[batch][name] / times[batch]['MindSpore']:.2f})" for batch in times
        ]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
