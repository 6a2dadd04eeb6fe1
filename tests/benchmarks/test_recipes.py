import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("mindspore", reason="MindSpore has no wheel for this Python")

from mindspore import Tensor

from avatar_runtime.errors import InputError
from avatar_training.run_folder import checkpoint
from benchmarks.studies import recipes
from benchmarks.studies.recipes import Recipe, main, parse

STAND_IN = """
import sys, time
from pathlib import Path
options = sys.argv[2:]
out = Path(options[options.index("--out") + 1])
if sys.argv[1] == "avatar-export":
    out.write_text("a model")
elif "--dead" not in options:
    out.mkdir(parents=True, exist_ok=True)
    try:
        (out / "started").write_text(" ".join(options))
        time.sleep(60)
    except KeyboardInterrupt:
        (out / "stopped").touch()
"""
"""Does what avatar-train and avatar-export do to files."""


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(
        recipes, "command", lambda *parts: [sys.executable, "-c", STAND_IN, *(str(part) for part in parts)]
    )
    return [str(tmp_path / "study"), "--data", str(tmp_path), "--init-from", str(tmp_path), "--minutes", "0.05"]


def study(arguments: list[str], *recipe: str) -> Result:
    return CliRunner().invoke(main, [*arguments, *(part for text in recipe for part in ("--recipe", text))])


def test_each_recipe_is_stopped_after_its_time_and_exported_once(arguments: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "study"
    for name, steps in (("edge", 1200), ("large", 340)):
        (folder / name).mkdir(parents=True)
        checkpoint.save(folder / name / "generator.ckpt", {"steps": Tensor(np.array(steps))})
    (folder / "edge.onnx").write_text("done before")
    result = study(arguments, "edge", "large --ngf 96")
    assert result.exit_code == 0, result.output
    assert "| edge | 1,200 |  |" in result.output
    assert "| large | 340 | --ngf 96 |" in result.output
    assert (folder / "edge.onnx").read_text() == "done before"
    assert not (folder / "edge" / "started").exists()
    started = (folder / "large" / "started").read_text()
    assert started.endswith("--restart --ngf 96")  # the folder was there: the run had been interrupted
    assert (folder / "large" / "stopped").exists()
    assert (folder / "large.onnx").read_text() == "a model"


def test_a_recipe_that_ends_by_itself_is_refused_and_not_exported(arguments: list[str], tmp_path: Path) -> None:
    result = study(arguments, "bad --dead")
    assert result.exit_code == 1
    assert "the recipe bad ended before its time, with exit status 0" in result.output
    assert not (tmp_path / "study" / "bad.onnx").exists()


def test_a_recipe_is_a_name_and_options() -> None:
    assert parse(("edge", "clean --data 'two words.zip'")) == [
        Recipe("edge", ()),
        Recipe("clean", ("--data", "two words.zip")),
    ]


@pytest.mark.parametrize("text", ["", "../up --ngf 8", "--ngf 8", ".", "x 'open"])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--recipe"):
        parse((text,))


def test_two_recipes_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="same name"):
        parse(("edge", "edge --ngf 8"))
