"""What it costs to look at a run while it learns: python -m benchmarks.studies.run_page runs/edge --features FILE.onnx

On a copy of a run folder: everything a tick writes, report.html and the KID, each beside the steps it is paid for by.
"""

import os
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import click

from benchmarks.suite.samples import alternate, seconds, timed


@click.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--features", type=click.Path(exists=True, path_type=Path), help="Also measure KID, over this network.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Runs of each; one of KID.")
def main(run: Path, features: Path | None, rounds: int) -> None:
    """Measure what a tick, its page and a KID cost beside the steps between two of them."""
    import numpy as np

    from avatar_runtime.latents import latents
    from avatar_training.config import TrainConfig
    from avatar_training.data.dataset import Faces
    from avatar_training.device import select
    from avatar_training.metrics.kid import FeatureNetwork
    from avatar_training.networks.gan import Gan
    from avatar_training.report.recorder import PREVIEW_NAMES, Report
    from avatar_training.run_folder.best import COUNT, Best
    from avatar_training.run_folder.record import read_record
    from avatar_training.step import TrainingStep

    os.environ.setdefault("GLOG_v", "3")
    select("CPU")
    record = read_record(run)
    if record is None:
        raise click.UsageError(f"{run} holds no run")
    config = replace(TrainConfig.from_dict(record["config"]), data="")
    gan, real = Gan(config), np.zeros((config.batch_size, config.channels, *2 * [config.image_size]), np.float32)
    training = TrainingStep(gan)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        shutil.copytree(run, out, ignore=shutil.ignore_patterns("*.ckpt"))
        report, images = Report(out), gan.draw(latents(PREVIEW_NAMES, config.latent_dim))
        last = int(max(out.glob("previews/*.png")).stem)
        turns, _ = alternate(
            {
                "step": lambda: timed(lambda: training.run(0, real, config.learning_rate)),
                "tick": lambda: timed(lambda: report.preview(last + 1, images)),
                "page": lambda: timed(report.page),
            },
            rounds,
        )
        found = {name: seconds(row).median for name, row in turns.items()}
        between = config.snapshot_every * found["step"]
        print(f"a step: {found['step']:.3f} s; {config.snapshot_every} of them between two ticks")
        for name in ("tick", "page"):
            print(f"a {name} after {last} steps: {found[name]:.2f} s = {100 * found[name] / between:.2f}%")
        print(f"the page: {(out / 'report.html').stat().st_size / 1e6:.1f} MB")
        if features is not None:
            began = time.perf_counter()
            faces = Faces(np.resize(images, (COUNT, *images.shape[1:])), "", {})
            best = Best(out, FeatureNetwork(features), faces)
            start = time.perf_counter() - began
            (taken,) = timed(lambda: best.measure(gan, 0), warm=1)
            share = 100 * taken / (TrainConfig.kid_every * found["step"])
            print(f"a KID: {taken:.1f} s = {share:.2f}% of {TrainConfig.kid_every} steps; {start:.1f} s once in a run")


if __name__ == "__main__":
    main()
