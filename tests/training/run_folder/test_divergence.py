"""A run that goes wrong stops with the reason, or goes back and on; and that, too, resumes exactly."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor

from avatar_training.distributed.worker_group import SINGLE_WORKER
from avatar_training.errors import Diverged
from avatar_training.loop import Progress, train
from avatar_training.networks.gan import Gan
from avatar_training.run_folder import checkpoint, divergence
from avatar_training.step import TrainingStep

from ..conftest import STEPS, MakeConfig, losses, stats, weights

healthy, healthy_draw = TrainingStep.run, Gan.draw


def diverge(
    monkeypatch: pytest.MonkeyPatch, step: int, harm: Callable[[TrainingStep], Any], rollbacks: int = 0
) -> None:
    """Do harm in a step, unless the run has been rolled back more than so often."""

    def run_and_harm(
        training: TrainingStep, done: int, real: np.ndarray, learning_rate: float
    ) -> tuple[float, float, float]:
        found = healthy(training, done, real, learning_rate)
        return (done + 1 == step and len(training.config.rollbacks) <= rollbacks and harm(training)) or found

    monkeypatch.setattr(TrainingStep, "run", run_and_harm)


def no_loss(training: TrainingStep) -> tuple[float, float, float]:
    return float("nan"), 0.0, 0.0


def no_weight(training: TrainingStep) -> None:
    training.discriminator.trainable_params()[0].set_data(Tensor(np.full((8, 3, 4, 4), np.inf, np.float32)))


def one_image(training: TrainingStep) -> None:
    gan = training.gan
    gan.draw = lambda z: healthy_draw(gan, z * np.float32(0))  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (no_loss, r"the loss is no longer finite at step 8 \(G nan, D 0.0\)"),
        (no_weight, r"discriminator\..* is no longer finite at step 8"),
        (one_image, r"has collapsed at step 8: its previews differ by 0.0 levels, training images by \d\d"),
    ],
)
def test_a_run_that_diverges_stops_with_the_reason_and_the_last_good_snapshot(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Callable[..., Any], words: str
) -> None:
    monkeypatch.setattr(divergence, "WARM_UP", 5)
    diverge(monkeypatch, 8, harm)
    with pytest.raises(Diverged, match=f"{words}.*step-00000004.ckpt.*--resume --rollback"):
        train(tiny_config(), tmp_path)
    names = [p.name for p in checkpoint.snapshots(tmp_path / "snapshots")]
    assert names == ["step-00000004.ckpt", "step-00000000.ckpt"]
    assert checkpoint.read(tmp_path / "generator.ckpt")["steps"] == 4


def test_images_that_are_not_finite_are_a_divergence() -> None:
    gan = SimpleNamespace(workers=SINGLE_WORKER, average=lambda z: Tensor(np.full((1, 3, 32, 32), np.nan, np.float32)))
    with pytest.raises(Diverged, match="not finite"):
        Gan.draw(gan, np.zeros((1, 100), np.float32))  # type: ignore[arg-type]


def test_a_fresh_generator_has_not_collapsed() -> None:
    previews, real = 0.2, 65.0
    divergence.check_diversity(0, previews, real)
    with pytest.raises(Diverged):
        divergence.check_diversity(divergence.WARM_UP, previews, real)
    divergence.check_diversity(divergence.WARM_UP, 20.0, real)


def test_diversity_is_the_spread_of_pixels_over_images() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)
    assert divergence.diversity(np.repeat(noise[:1], 64, axis=0)) == 0
    assert 70 < divergence.diversity(noise) < 76  # 255 / sqrt(12) = 73.6
    assert divergence.diversity(np.stack([np.zeros_like(noise[0]), np.full_like(noise[0], 10)])) == 5


def test_each_tick_logs_the_diversity_of_its_previews(whole_run: Path) -> None:
    rows = stats(whole_run, "diversity")
    assert [row["step"] for row in rows] == [4, 8, 12, 14]
    assert all(row["diversity"] > 0 for row in rows)


def test_a_run_that_is_rolled_back_goes_on_with_other_draws_and_resumes_exactly(
    whole_run: Path, tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverge(monkeypatch, 10, no_loss)
    config, said = tiny_config(rollback=True, keep=4), list[str]()
    assert train(config, tmp_path / "whole", on_message=said.append).finished
    assert re.search(r"no longer finite at step 10 .*rollback 1 of 3", said[-2])
    assert re.search(r"resuming from .*step-00000008.ckpt", said[-1])
    assert json.loads((tmp_path / "whole/config.json").read_text())["config"]["rollbacks"] == [8]
    assert len(losses(tmp_path / "whole")) == STEPS
    assert losses(tmp_path / "whole")[:8] == losses(whole_run)[:8]
    assert losses(tmp_path / "whole")[8] != losses(whole_run)[8]

    seen: list[Progress] = []
    train(config, tmp_path / "parts", on_step=seen.append, should_stop=lambda: len(seen) == 11)
    assert [progress.step for progress in seen] == [*range(1, 10), 9, 10]
    snapshots = checkpoint.snapshots(tmp_path / "parts/snapshots")
    for path in snapshots[:2]:  # of steps 10 and 8: back to before the rollback, whose draws come again
        path.unlink()
    train(config, tmp_path / "parts", resume=True)
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")


def test_a_run_is_rolled_back_three_times_at_most(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverge(monkeypatch, 6, no_loss, rollbacks=9)
    said: list[str] = []
    with pytest.raises(Diverged, match=r"at step 6 .*; the last good snapshot is .*step-00000004.ckpt; start over"):
        train(tiny_config(rollback=True), tmp_path, on_message=said.append)
    assert sum("rollback" in line for line in said) == 3
    assert json.loads((tmp_path / "config.json").read_text())["config"]["rollbacks"] == [4, 4, 4]
