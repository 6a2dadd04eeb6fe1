import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from avatar_training.config import TrainConfig
from avatar_training.errors import TrainingError
from avatar_training.run_folder.record import newest_run, read_record


def test_tutorial_has_the_tutorials_numbers() -> None:
    config = TrainConfig.from_recipe("tutorial", data="faces.zip")
    assert (config.batch_size, config.epochs, config.ngf, config.ndf, config.loss) == (128, 10, 64, 64, "bce")
    assert (config.learning_rate, config.beta1, config.real_label, config.ema_decay) == (2e-4, 0.5, 1.0, 0.0)


def test_a_rollback_changes_the_seed_from_its_step_on_and_not_before() -> None:
    config = TrainConfig(data="d", steps=9, seed=7, rollbacks=(4, 4, 2))
    seeds = [config.seed_at(step) for step in range(6)]
    assert seeds[:2] == [7, 7]
    assert len(set(seeds)) == 3  # steps 0 and 1, 2 and 3, 4 and on
    assert seeds == [dataclasses.replace(config, rollbacks=(2, 4, 4)).seed_at(step) for step in range(6)]
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_steps_replace_a_recipes_epochs_and_the_other_way_round() -> None:
    assert TrainConfig.from_recipe("tutorial", data="d", steps=5).epochs is None
    assert TrainConfig.from_recipe("edge", data="d", epochs=5).steps is None
    assert TrainConfig.from_recipe("edge", data="d").with_changes(epochs=3).steps is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("recipe", "best"),
        ("loss", "wasserstein"),
        ("image_size", 96),
        ("channels", 4),
        ("device_target", "TPU"),
        ("batch_size", 1),
        ("latent_dim", 0),
        ("ngf", -1),
        ("min_truncation", 1.5),
        ("steps", 0),
        ("steps", None),
        ("epochs", 1),  # beside steps
        ("seed", -1),
        ("learning_rate", float("nan")),
        ("learning_rate", 0.0),
        ("beta1", 1.0),
        ("ema_decay", 1.0),
        ("real_label", 1.1),
        ("snapshot_every", 0),
        ("kid_every", -1),
        ("keep", 0),
        ("rollbacks", (4, -1)),
    ],
)
def test_a_bad_value_is_refused_with_its_field(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        TrainConfig(**{"data": "d", "steps": 1, field: value})


def test_unknown_and_missing_fields_of_a_dict_are_refused() -> None:
    with pytest.raises(ValueError, match="widht"):
        TrainConfig.from_dict({"data": "d", "steps": 1, "widht": 3})
    with pytest.raises(ValueError, match="data"):
        TrainConfig.from_dict({"steps": 1})


def test_only_fields_that_change_a_step_count_as_differences() -> None:
    config = TrainConfig(data="a", steps=10)
    same = dataclasses.replace(
        config, data="b", steps=None, epochs=3, snapshot_every=7, device_target="GPU", kid_network="f", kid_every=1
    )
    assert not config.differences(same)
    other = dataclasses.replace(config, batch_size=32, seed=1)
    assert config.differences(other) == {"batch_size": (16, 32), "seed": (0, 1)}


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"config": {"data": "d"}, "dataset": {}}'])
def test_a_damaged_record_of_a_run_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(TrainingError, match="damaged"):
        read_record(tmp_path)


def test_the_newest_run_is_found_or_its_absence_said(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no run"):
        newest_run(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    assert newest_run(tmp_path).name == "b"
