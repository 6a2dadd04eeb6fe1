"""avatar-train: what it shows, refuses and keeps."""

import json
from pathlib import Path

import pytest

from avatar_training import cli
from avatar_training.config import TrainConfig

from .conftest import avatar_train, refused

TINY = ["--batch-size", "4", "--image-size", "32", "--ngf", "8", "--ndf", "8", "--steps", "2"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_dry_run_shows_the_resolved_configuration_and_writes_nothing(tmp_path: Path) -> None:
    result = avatar_train("--data", "faces.zip", "--recipe", "long", "--ngf", "96", "--dry-run")
    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    assert shown.pop("out") == str(Path("runs/long"))
    assert TrainConfig.from_dict(shown) == TrainConfig.from_recipe("long", data="faces.zip", ngf=96)
    assert not list(tmp_path.iterdir())


def test_a_run_that_begins_with_a_pair_has_networks_of_its_shape(tmp_path: Path) -> None:
    config = TrainConfig("d", steps=1, image_size=64, ngf=48, ndf=24, generator="refined").to_dict()
    (tmp_path / "config.json").write_text(json.dumps({"config": config, "dataset": {"sha256": ""}}))

    def shape(*arguments: str) -> list[object]:
        result = avatar_train("--data", "d", "--init-from", str(tmp_path), "--dry-run", *arguments)
        shown = json.loads(result.stdout)
        return [shown["image_size"], shown["generator"], shown["ngf"], shown["ndf"]]

    assert shape() == [64, "refined", 48, 24]
    assert shape("--image-size", "128") == [128, "refined", 24, 12]  # half at each doubling: see `growing`
    assert shape("--image-size", "128", "--ndf", "20", "--generator", "tutorial") == [128, "tutorial", 24, 20]
    (tmp_path / "config.json").write_text(
        json.dumps({"config": {**config, "image_size": 128}, "dataset": {"sha256": ""}})
    )
    assert shape() == [128, "refined", 48, 24]


def test_every_field_of_a_config_is_an_option() -> None:
    options = {parameter.name for parameter in cli.main.params}
    written_by_the_run = {"rollbacks"}
    assert set(TrainConfig.from_recipe("edge", data="d").to_dict()) - written_by_the_run <= options


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "--data"),
        (["--data", "d", "--resume", "--restart"], "--resume"),
        (["--data", "d", "--steps", "1", "--epochs", "1"], "--epochs"),
        (["--data", "d", "--batch-size", "1"], "--batch-size"),
        (["--data", "d", "--image-size", "48"], "--image-size"),
        (["--data", "d", "--learning-rate", "nan"], "learning_rate"),
        (["--data", "d", "--ema-decay", "1"], "ema_decay"),
        (["--data", "d", "--recipe", "best"], "--recipe"),
    ],
)
def test_unusable_options_are_refused(arguments: list[str], word: str) -> None:
    refused(avatar_train(*arguments), word, code=2)


def test_a_missing_run_or_source_is_one_sentence(tmp_path: Path) -> None:
    refused(avatar_train("--resume"), "no run in runs")
    refused(avatar_train("--resume", "--out", "elsewhere"), "elsewhere", "no run to resume")
    refused(avatar_train("--data", "missing.zip", *TINY), "missing.zip does not exist")
    (tmp_path / "note.txt").write_text("no zip")
    refused(avatar_train("--data", "note.txt", *TINY), "neither a folder nor an undamaged zip")
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


def test_a_run_is_never_overwritten(pictures: Path, tmp_path: Path) -> None:
    start = ["--data", str(pictures), *TINY]
    result = avatar_train(*start)
    assert result.exit_code == 0, result.output
    assert "22 images" in result.stderr
    first = (tmp_path / "runs/edge/generator.ckpt").read_bytes()
    refused(avatar_train(*start), "already holds a run", "--resume", "--restart")
    refused(avatar_train(*start, "--restart", "--data", "missing.zip"), "missing.zip does not exist")
    assert (tmp_path / "runs/edge/generator.ckpt").read_bytes() == first
    again = avatar_train(*start, "--restart", "--seed", "1")
    assert again.exit_code == 0, again.output
    assert f"is now in {Path('runs/edge.1')}" in again.stderr
    assert (tmp_path / "runs/edge.1/generator.ckpt").read_bytes() == first
    assert (tmp_path / "runs/edge/generator.ckpt").read_bytes() != first
    refused(avatar_train("--resume", "--seed", "0"), "seed 1 there and 0 here")
    refused(avatar_train("--resume", "--recipe", "long"), "recipe edge")
    longer = avatar_train("--resume", "--steps", "3")
    assert longer.exit_code == 0, longer.output
    assert "step 3:" in longer.stdout


def test_too_few_images_are_refused(pictures: Path) -> None:
    refused(avatar_train("--data", str(pictures), "--batch-size", "64", "--image-size", "32"), "a batch of 64")
