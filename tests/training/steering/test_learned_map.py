"""The map of latents that critics teach: what it changes, what stays, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor

from avatar_runtime.latents import latents, series
from avatar_training.loop import train
from avatar_training.objective.reward import Reward
from avatar_training.run_folder import checkpoint
from avatar_training.steering import learned_map
from avatar_training.steering.critic import read_critic
from avatar_training.steering.direction import affine_map
from avatar_training.steering.drawing import MAP_BIAS, MAP_WEIGHT, Drawing
from avatar_training.steering.learned_map import learn_map

from ..classifier import write_critic
from ..conftest import MakeConfig, avatar_train, refused

Z = latents(list(series("fresh", 64)), 100)

pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.fixture(scope="module")
def critic(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_critic(tmp_path_factory.mktemp("critic") / "critic.npz", classifier)


@pytest.fixture(scope="module")
def pair(tiny_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A steered pair."""
    folder = tmp_path_factory.mktemp("small") / "pair"
    train(tiny_config(steps=6, snapshot_every=6), folder)
    arrays = {name: Tensor(array) for name, array in checkpoint.read(folder / "generator.ckpt").items()}
    weight, bias = affine_map(np.eye(100, dtype=np.float32)[0], 1.0)
    checkpoint.save(folder / "generator.ckpt", {**arrays, MAP_WEIGHT: Tensor(weight), MAP_BIAS: Tensor(bias)})
    return folder


def logit(folder: Path, critic: Path, classifier: Path) -> float:
    """The critic's mean logit of fresh faces, seen straight."""
    faces = Drawing(folder).draw(Z).transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    reward = Reward(read_critic(critic), classifier, faces.shape[2], faces.shape[1])
    views = np.tile(np.array([0.5, 0.5, 0.9], np.float32), (len(faces), 1))
    return float(reward(Tensor(faces), Tensor(views)).asnumpy().mean())


def test_it_learns_what_the_critic_wants_and_the_generator_stays(
    pair: Path, critic: Path, classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISTANCE", "SPREAD", "COLOUR"):  # faces of noise have nothing to keep
        monkeypatch.setattr(learned_map, name, 0.0)
    monkeypatch.setattr(learned_map, "LEARNING_RATE", 0.02)
    learnt = learn_map(pair, tmp_path / "mapped", [critic], [classifier], steps=40)
    before, after = (logit(folder, critic, classifier) for folder in (pair, tmp_path / "mapped"))
    assert after < before
    assert learnt.after < learnt.before
    old, new = Drawing(pair), Drawing(tmp_path / "mapped")
    assert not np.allclose(new.mapped(Z), old.mapped(Z))
    np.testing.assert_allclose(new.mapped(Z)[:, 0], 1, atol=1e-5)  # the pair's own map comes last
    maps = (MAP_WEIGHT, MAP_BIAS)
    assert new.arrays.keys() == old.arrays.keys()
    assert all(np.array_equal(new.arrays[name], array) for name, array in old.arrays.items() if name not in maps)
    history = json.loads((tmp_path / "mapped" / "config.json").read_text())["learned_map"]
    assert history["mapped_from"] == old.model
    assert (history["steps"], len(history["critics_sha256"])) == (40, 1)


def test_what_should_stay_holds_it_back(pair: Path, critic: Path, classifier: Path, tmp_path: Path) -> None:
    moves = {}
    for weight in (0.01, 100.0):
        learn_map(pair, tmp_path / f"{weight}", [critic], [classifier], weight, steps=60)
        moves[weight] = np.abs(Drawing(tmp_path / f"{weight}").weight - Drawing(pair).weight).max()
    assert moves[0.01] < moves[100.0]


def test_the_same_seed_teaches_the_same(pair: Path, critic: Path, classifier: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        learn_map(pair, tmp_path / name, [critic] * 2, [classifier] * 2, steps=2, seed=seed)
    one, two, three = ((tmp_path / name / "generator.ckpt").read_bytes() for name in ("one", "two", "three"))
    assert one == two != three


def test_what_cannot_be_mapped_is_refused(pair: Path, critic: Path, classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    judged = ("--critic", critic, "--critic-network", classifier)
    refused(avatar_train("map", "--checkpoint", pair, "--out", tmp_path / "there", *judged), "exists already")
    new = ("--out", tmp_path / "new")
    refused(avatar_train("map", "--checkpoint", tmp_path / "none", *new, *judged), "config.json")
    refused(avatar_train("map", "--checkpoint", pair, *new, *judged, "--critic", critic), "2 critics, 1 classifiers")
    other = tmp_path / "other.onnx"
    other.write_bytes(classifier.read_bytes() + b"\0")
    wrong = ("--critic", critic, "--critic-network", other)
    refused(avatar_train("map", "--checkpoint", pair, *new, *wrong), "other.onnx")
    broken = shutil.copytree(pair, tmp_path / "broken")
    (broken / "discriminator.ckpt").write_bytes(b"damaged")
    refused(avatar_train("map", "--checkpoint", broken, *new, *judged), "discriminator.ckpt")
    assert not (tmp_path / "new").exists()
