"""The best of several candidates, by a scorer."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from avatar_runtime import AvatarGenerator, InputError, ModelFileError
from avatar_runtime.imaging.encoding import text_of
from avatar_runtime.ranking import BestOf, Scorer
from avatar_runtime.session import open_session
from tiny_model import bright_scorer

from .conftest import AvatarGen

NAMES = ["alice", "", "アリス", *(f"S/{i}" for i in range(30))]


@pytest.mark.parametrize("count", [1, 2, 5, 100])
def test_the_brightest_candidate_is_kept(generator: AvatarGenerator, scorer: Path, count: int) -> None:
    names = NAMES[:4] if count == 100 else NAMES
    found = list(BestOf(Scorer.load(scorer), count).candidates(generator, names, 0.8))
    for name, k in zip(names, found, strict=True):
        candidates = [name, *(f"{name}~{i}" for i in range(1, count))]
        means = generator.generate(candidates, truncation=0.8).mean((1, 2, 3), np.float64)
        assert means[k] == pytest.approx(means.max(), abs=1e-3)
    assert count == 1 or len(set(found)) > 1


def test_of_equals_the_first_is_kept(generator: AvatarGenerator, scorer: Path) -> None:
    assert list(BestOf(Scorer.load(scorer), 5).candidates(generator, NAMES, truncation=0)) == [0] * len(NAMES)


def test_names_are_judged_as_their_turn_comes(generator: AvatarGenerator, scorer: Path) -> None:
    endless = iter(lambda: "alice", None)
    assert next(BestOf(Scorer.load(scorer), 3).candidates(generator, endless)) in range(3)


def test_files_and_grids_of_the_best(
    folder: Path, avatar_gen: AvatarGen, generator: AvatarGenerator, scorer: Path
) -> None:
    job = ["--name", "alice", "--name", "bob", "--best-of", "9", "--scorer", str(scorer)]
    done = avatar_gen(*job, "--out-dir", "faces")
    kept = list(BestOf(Scorer.load(scorer), 9).candidates(generator, ["alice", "bob"]))
    assert 0 not in kept  # else the names below would be others
    chosen = [("alice", kept[0]), ("bob", kept[1])]
    expected = generator.generate([f"{name}~{k}" for name, k in chosen])
    said = [f"'{name}': candidate {k} of 9, the avatar named '{name}~{k}'" for name, k in chosen]
    assert done.stdout.splitlines() == [*said, "2 avatars in faces"]
    for name, image in zip(("alice", "bob"), expected, strict=True):
        with Image.open(folder / f"faces/{name}.png") as found:
            np.testing.assert_array_equal(np.asarray(found), image)
    done = avatar_gen(*job, "--out", "grid.png", "--json")
    with Image.open(folder / "grid.png") as found:
        np.testing.assert_array_equal(np.asarray(found), np.concatenate(list(expected), axis=1))
        text = json.loads(text_of(found) or "")
    assert text["names"] == ["alice", "bob"]
    assert (text["candidates"], text["best_of"], text["scorer"]) == (kept, 9, Scorer.load(scorer).sha256)
    assert json.loads(done.stdout).items() >= text.items()
    assert avatar_gen("--reproduce", "grid.png").exit_code == 0  # without the scorer


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "generator"}, "it is a generator of avatar-edge, where a scorer is needed"),
        ({"format_version": 2}, "of format 2, newer than"),
        ({"image_size": 10**9}, "image_size is 1000000000"),
        ({"image_size": 64}, "its graph is not the scorer that its metadata describes"),
        ({"channels": "3"}, "channels is '3'"),
    ],
    ids=str,
)
def test_what_is_no_scorer_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    onnx.save(bright_scorer(**changes), tmp_path / "scorer.onnx")
    with pytest.raises(ModelFileError, match=rf"scorer\.onnx: .*{message}"):
        Scorer.load(tmp_path / "scorer.onnx")


def test_a_scorer_draws_no_avatars(scorer: Path) -> None:
    with pytest.raises(ModelFileError, match="it is a scorer of avatar-edge, where a generator is needed"):
        AvatarGenerator.load(scorer)


def test_a_scorer_of_other_pictures_is_refused(generator: AvatarGenerator) -> None:
    other = Scorer(open_session(bright_scorer(size=64).SerializeToString()))
    with pytest.raises(InputError, match="scores images of 64x64 pixels and 3 channels, the model draws 32x32 and 3"):
        BestOf(other, 4).candidates(generator, NAMES)


def test_a_score_that_is_no_number_is_refused(generator: AvatarGenerator) -> None:
    model = bright_scorer()
    model.graph.node[1].output[0] = "mean"
    model.graph.node.append(onnx.helper.make_node("Log", ["negative"], ["score"]))
    model.graph.node.insert(2, onnx.helper.make_node("Neg", ["mean"], ["negative"]))
    with pytest.raises(ModelFileError, match="does not give one finite score for each image"):
        list(BestOf(Scorer(open_session(model.SerializeToString())), 4).candidates(generator, NAMES))
