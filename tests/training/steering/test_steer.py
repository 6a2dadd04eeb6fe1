"""From graded faces to a steered checkpoint and its report."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor

from avatar_runtime.command.progress import ProgressBar
from avatar_runtime.latents import latents, series
from avatar_training.run_folder import checkpoint
from avatar_training.run_folder.record import write_record
from avatar_training.steering.critic import read_critic
from avatar_training.steering.curve import Point, suggested_strength
from avatar_training.steering.drawing import Drawing
from avatar_training.steering.drift import Pose, hue_drift
from avatar_training.steering.grading import Grading
from tiny_model import tiny_arrays

from ..conftest import MakeConfig, avatar_train, refused
from ..report.test_run_page import Reader


@pytest.fixture(scope="module")
def pair(tiny_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair whose generator draws pictures with contrast, in a folder as avatar-train leaves it."""
    folder = tmp_path_factory.mktemp("pair")
    arrays = {**tiny_arrays(), "pixel_range": np.array([-1, 1], np.float32)}
    checkpoint.save(folder / "generator.ckpt", {name: Tensor(array) for name, array in arrays.items()})
    checkpoint.save(folder / "discriminator.ckpt", {"discriminator.0.weight": Tensor(np.ones(3, np.float32))})
    write_record(folder, {"config": tiny_config().to_dict(), "dataset": {"images": 22, "sha256": "feed"}})
    return folder


@pytest.fixture(scope="module")
def graded(pair: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 of its faces, graded by two people who find dark pictures broken."""
    folder = tmp_path_factory.mktemp("graded") / "grades"
    result = avatar_train(
        "grade", "--out", folder, "--checkpoint", pair, "--count", 400, "--grader", "ana", "--sheets", folder
    )
    assert result.exit_code == 0, result.output
    for name in ("ana", "ben"):
        grading = Grading(folder, name)
        level = np.array([grading.picture(place).mean() for place in range(len(grading))])
        darkest = np.quantile(level, 0.3)
        grading.grade_all({place: 0 if level[place] < darkest else 2 for place in range(len(grading))})
    return folder


@pytest.fixture(scope="module")
def steered(pair: Path, graded: Path, classifier: Path, pictures: Path, tmp_path_factory: Any) -> Path:
    out: Path = tmp_path_factory.mktemp("steered") / "<b>night"
    shown: list[tuple[int, int]] = []
    patch = pytest.MonkeyPatch()
    patch.setattr(ProgressBar, "show", lambda bar, done, total, note="": shown.append((done, total)))
    result = avatar_train(
        *("steer", "--checkpoint", pair, "--grades", graded, "--network", classifier, "--out", out),
        *("--real", pictures, "--real-faces", 20, "--faces", 128, "--fresh-faces", 600),
        *("--strengths", "0.8,1.5", "--strength", 1.2),
    )
    patch.undo()
    assert result.exit_code == 0, result.output
    assert "look at" in result.stdout
    # 800 grades, 600 fresh faces, 20 real ones, and 128 at each of four strengths.
    assert shown == [(done, 1932) for done in (0, 480, 800, 1280, 1400, 1420, 1548, 1676, 1804, 1932)]
    return out


def test_the_steered_pair_draws_what_the_map_says(pair: Path, steered: Path) -> None:
    before, after = Drawing(pair), Drawing(steered)
    z = latents(list(series("x", 64)), 100)
    v = np.load(steered / "direction.npy")
    assert np.linalg.norm(v) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(after.mapped(z) @ v, 1.2, atol=1e-4)
    np.testing.assert_array_equal(after.draw(z), before.draw(after.mapped(z)))
    # MindSpore's own layer, with the parameters in the checkpoint, computes the same map.
    config = after.config
    shape = (config.image_size, config.channels, config.latent_dim, config.ngf)
    network = checkpoint.generator_network(after.arrays, *shape)
    plain = checkpoint.generator_network({k: a for k, a in after.arrays.items() if "map" not in k}, *shape)
    np.testing.assert_allclose(network(z), plain(after.mapped(z)), atol=1e-4)


def test_dark_pictures_are_gone(pair: Path, steered: Path) -> None:
    z = latents(list(series("x", 256)), 100)
    before, after = (Drawing(folder).draw(z).mean(axis=(1, 2, 3)) for folder in (pair, steered))
    limit = np.quantile(before, 0.3)
    assert (after < limit).mean() < 0.1


def test_the_folder_tells_how_it_was_made(pair: Path, steered: Path) -> None:
    found = sorted(path.name for path in steered.iterdir())
    assert found == [
        *(".config.json", "config.json", "critic-judge.npz", "critic-learner.npz", "critic.npz"),
        *("direction.npy", "discriminator.ckpt", "generator.ckpt"),
        *("report.html", "steering.json"),
    ]
    assert not list(steered.parent.glob(".*"))
    record = json.loads((steered / "steering.json").read_text())
    assert record["steered_from"] == Drawing(pair).model
    assert [point["strength"] for point in record["curve"]] == [None, 0.8, 1.2, 1.5]
    broken = [point["broken"] for point in record["curve"]]
    assert broken == sorted(broken, reverse=True)
    assert record["curve"][0]["hue_drift"] == record["curve"][0]["pose_drift"] == 0
    assert json.loads((steered / "config.json").read_text())["steering"] == record
    critic = read_critic(steered / "critic.npz")
    assert critic.graders == ("ana", "ben")
    halves = [read_critic(steered / f"critic-{half}.npz").graders for half in ("learner", "judge")]
    assert sorted(halves) == [("ana",), ("ben",)]
    assert set(record["judge"]["graders"]) < {"ana", "ben"}
    maps = {"latent_map.weight", "latent_map.bias"}
    assert checkpoint.read(steered / "generator.ckpt").keys() - maps == Drawing(pair).arrays.keys()
    assert checkpoint.read_pair(steered).keys() == checkpoint.read_pair(pair).keys()


def test_the_report_shows_it_and_needs_nothing_else(steered: Path) -> None:
    page = (steered / "report.html").read_text()
    read = Reader(page)
    for shown in ("<b>night", "as it was", "2 graders", "pose drift"):
        assert shown in read.text
    sources = [attributes["src"] or "" for name, attributes in read.elements if name == "img"]
    assert len(sources) == 5
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    assert [name for name, _ in read.elements].count("svg") == 4
    assert "script" not in dict(read.elements)


def test_by_the_same_grades_nothing_is_left_to_steer(
    steered: Path, graded: Path, classifier: Path, tmp_path: Path
) -> None:
    given = ("steer", "--checkpoint", steered, "--grades", graded, "--network", classifier, "--out", tmp_path / "again")
    result = avatar_train(*given, "--faces", 64, "--fresh-faces", 600, "--strengths", "0.5", "--strength", 0.5)
    assert result.exit_code == 1
    assert "Error: no direction of latent space decides" in result.stderr
    assert not list(tmp_path.iterdir())


def test_wrong_uses_are_refused_in_a_sentence(pair: Path, graded: Path, classifier: Path, tmp_path: Path) -> None:
    given = ("steer", "--checkpoint", pair, "--grades", graded, "--network", classifier)
    out = ("--out", tmp_path / "out")
    refused(avatar_train(*given, *out), "--real", "--strength", code=2)
    refused(avatar_train(*given, *out, "--strength", 11), "from 0 to 10", code=2)
    refused(avatar_train(*given, *out, "--strength", 1, "--strengths", "a,b"), "separated by commas", code=2)
    refused(avatar_train(*given, "--out", tmp_path, "--strength", 1), "exists already")
    refused(avatar_train(*given, "--out", classifier / "out", "--strength", 1), "cannot", "classifier.onnx")
    refused(avatar_train(*given[:3], "--grades", tmp_path, *given[5:], *out, "--strength", 1), "cannot", "faces.npz")
    refused(avatar_train(*given[:5], "--network", tmp_path / "no.onnx", *out, "--strength", 1), "no.onnx")
    refused(avatar_train("steer", "--checkpoint", tmp_path, *given[3:], *out, "--strength", 1), "config.json")
    refused(avatar_train("--steps", 3, *given, *out), "takes its options", code=2)
    assert not list(tmp_path.iterdir())

    refused(avatar_train("grade", "--out", tmp_path / "g", "--grader", "ana"), "--model", "--checkpoint", code=2)
    refused(
        avatar_train("grade", "--out", graded, "--grader", "ana", "--checkpoint", pair), "already holds faces", code=2
    )
    refused(avatar_train("grade", "--out", tmp_path / "g", "--grader", "ana", "--checkpoint", tmp_path), "config.json")
    refused(avatar_train("grade", "--out", graded, "--grader", "ana", "--take", tmp_path / "none.txt"), "none.txt")
    refused(avatar_train("grade", "--out", graded, "--grader", "ana", "--real-count", 3), "--real", code=2)
    assert not list(tmp_path.iterdir())


def test_faces_of_a_model_file_can_be_graded(tiny_model: Path, pictures: Path, tmp_path: Path) -> None:
    given = ("grade", "--out", tmp_path / "g", "--grader", "ana")
    result = avatar_train(*given, "--model", tiny_model, "--count", 32, "--real", pictures, "--sheets", tmp_path / "s")
    assert result.exit_code == 0, result.output
    assert len(Grading(tmp_path / "g", "ana")) == 34
    (tmp_path / "n.txt").write_text("broken 0-9\nfine rest\n")
    result = avatar_train(*given, "--take", tmp_path / "n.txt")
    assert result.exit_code == 0, result.output
    assert "34 faces graded" in result.stdout
    assert "ana, real:" in result.stdout


def test_the_strongest_that_keeps_its_part_of_the_recall_is_suggested() -> None:
    def points(*recalls: float | None) -> list[Point]:
        return [
            Point(strength, 0.1, 0.0, 0.9, recall, 0.8, 0.0, 0.0)
            for strength, recall in zip((None, 0.6, 1.0, 1.5), recalls, strict=True)
        ]

    assert suggested_strength(points(0.6, 0.55, 0.49, 0.40), 0.8) == 1.0
    assert suggested_strength(points(0.6, 0.55, 0.49, 0.40), 0.5) == 1.5
    assert suggested_strength(points(0.6, 0.55, 0.49, 0.40), 0.95) is None
    assert suggested_strength(points(None, None, None, None), 0.5) is None


def test_hue_drift_is_the_share_of_colour_that_moved() -> None:
    red, blue = (np.zeros((4, 8, 8, 3), np.uint8) for _ in range(2))
    red[..., 0], blue[..., 2] = 200, 200
    half = np.concatenate([red[:2], blue[:2]])
    assert hue_drift(red, red) == 0
    assert hue_drift(red, blue) == pytest.approx(1)
    assert hue_drift(red, half) == pytest.approx(0.5)
    assert hue_drift(red, red // 2) == 0  # darker is no other hue
    grey = np.full((4, 8, 8, 3), 90, np.uint8)
    assert hue_drift(np.concatenate([red, grey]), red) == 0


def test_pose_drift_sees_faces_turned_to_one_side() -> None:
    rng = np.random.default_rng(0)
    turn = rng.standard_normal(300)
    across = np.linspace(-1, 1, 16)
    levels = np.clip(128 + 40 * turn[:, None, None, None] * across[None, None, :, None], 0, 255)
    faces = np.tile(levels, (1, 16, 1, 3)).astype(np.uint8)
    pose = Pose(faces)
    assert pose.drift(faces) == 0
    assert pose.drift(faces[:, :, ::-1]) < 0.15  # as many look left as right
    assert pose.drift(faces[turn > 0]) == pytest.approx(0.5, abs=0.06)
