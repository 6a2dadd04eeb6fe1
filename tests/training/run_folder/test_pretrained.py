"""The packaged pairs: whole, described, and what a run can begin with."""

from pathlib import Path

import numpy as np
import pytest

from avatar_training.run_folder import checkpoint
from avatar_training.run_folder.record import read_record
from avatar_training.steering.critic import read_critic
from avatar_training.steering.drawing import Drawing

PAIRS = sorted((Path(__file__).parents[3] / "training" / "pretrained").iterdir())


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
def test_a_packaged_pair_draws_different_faces(pair: Path) -> None:
    record = read_record(pair)
    assert record is not None
    side = record["config"]["image_size"]
    assert any(name.startswith("discriminator.") for name in checkpoint.read_pair(pair))
    faces = Drawing(pair).draw(np.random.default_rng(0).standard_normal((4, 100), np.float32))
    assert faces.shape == (4, side, side, 3)
    assert faces.std(axis=0).mean() > 20
    assert str(Path.home()) not in (pair / "config.json").read_text()


@pytest.mark.parametrize("path", [path for pair in PAIRS for path in pair.glob("critic*.npz")], ids=str)
def test_a_packaged_critic_can_be_read(path: Path) -> None:
    assert read_critic(path).validation.auc > 0.69
