"""The critic: one linear map that sees no colour, and that is refused where it cannot tell."""

import colorsys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from avatar_runtime.errors import AvatarError
from avatar_training.steering.activations import ActivationNetwork, ActivationsError, prepare
from avatar_training.steering.critic import CriticError, fit, read_critic
from avatar_training.steering.validation import cross_validate, learn_critic

from ..classifier import WIDEST, write_classifier
from ..feature_network import write_feature_network
from .graded import graded, pictures

TENSORS = tuple(WIDEST)


@pytest.fixture(scope="module")
def network(classifier: Path) -> ActivationNetwork:
    return ActivationNetwork(classifier)


def test_the_widest_activations_of_two_strides_are_pooled_channel_first(network: ActivationNetwork) -> None:
    assert network.tensors == TENSORS
    assert network.length == 16 * sum(WIDEST.values())
    symmetric = np.full((1, 32, 32, 3), 255, np.uint8)
    symmetric[:, 8:20, 4:28] = 30
    x = prepare(symmetric)
    assert (x.shape, x.min() >= -1, x.max()) == ((1, 3, 128, 128), True, 1)
    # By hand: the whole classifier, with the activations as its outputs, on the picture as it is entered.
    model = onnx.load(network.path)
    model.graph.output.extend(onnx.helper.make_tensor_value_info(t, 1, None) for t in TENSORS)
    model.graph.node.remove(next(node for node in model.graph.node if "entry" in node.output))
    model.graph.input.append(onnx.helper.make_tensor_value_info("entry", 1, None))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {"images": symmetric, "entry": x}
    straight = session.run(list(TENSORS), feeds)
    mirrored = session.run(list(TENSORS), {**feeds, "entry": np.ascontiguousarray(x[..., ::-1])})
    place = 0
    found = network(symmetric)[0]
    for one, other in zip(straight, mirrored, strict=True):
        cell = one.shape[2] // 4
        for channel in range(one.shape[1]):
            for row in range(4):
                for column in range(4):
                    at = np.s_[0, channel, row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
                    assert found[place] == pytest.approx((one[at].mean() + other[at].mean()) / 2, abs=1e-4)
                    place += 1
    assert place == len(found)


def test_turning_the_hue_at_equal_luma_changes_no_score(network: ActivationNetwork) -> None:
    grades = graded()
    critic = learn_critic(network, network(grades.images), grades)
    turned = _turn_hue(grades.images[:20])
    assert np.abs(turned.astype(int) - grades.images[:20]).mean() > 10  # other colours indeed
    before, after = critic.score(network, grades.images[:20]), critic.score(network, turned)
    assert np.abs(before - after).mean() < 0.05 * before.std()  # rounding to levels is all that is left


def _turn_hue(images: Any) -> Any:
    """Half a turn of the hue with the luma kept, in YIQ."""
    yiq = np.array([colorsys.rgb_to_yiq(*rgb) for rgb in np.eye(3)]).T
    y, i, q = np.moveaxis(images / 255 @ yiq.T, -1, 0)
    room = 0.5  # keeps the colours inside the cube
    rgb = np.stack([y, -room * i, -room * q], -1) @ np.linalg.inv(yiq).T
    return np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8)


def test_a_critic_learns_from_doubtful_faces_too(network: ActivationNetwork) -> None:
    grades = graded()
    activations = network(grades.images)
    scattered = np.arange(len(grades.grade)) % 8 == 0  # broken for no visible reason
    weights, bias = fit(activations, np.where(scattered, 0, np.where(grades.broken, 1, 2)), grades.grader)
    scores = activations @ weights + bias
    assert scores[grades.broken].mean() > scores[~grades.broken].mean() + scores[~grades.broken].std()


def test_a_strict_graders_faces_do_not_count_as_worse() -> None:
    rng = np.random.default_rng(0)
    strict = np.arange(400) % 2 == 0
    activations = rng.standard_normal((400, 8)).astype(np.float32)
    activations[:, 1] += 2 * strict  # what only tells whose faces these are
    grade = np.clip(np.rint(1.5 - activations[:, 0] - strict), 0, 2).astype(np.int64)
    weights, _ = fit(activations, grade, np.where(strict, "ana", "ben"))
    assert abs(weights[1]) < 0.2 * weights[0]


def test_a_critic_finds_what_graders_meant_and_survives_its_file(network: ActivationNetwork, tmp_path: Path) -> None:
    grades = graded()
    critic = learn_critic(network, network(grades.images), grades)
    assert critic.validation.unseen == "grader"
    assert 0.7 < critic.validation.low < critic.validation.auc < critic.validation.high <= 1
    fresh = np.arange(200) % 2 == 0
    scores = critic.score(network, pictures(fresh, seed=9))
    assert scores[fresh].mean() > scores[~fresh].mean() + scores[fresh].std()
    critic.save(tmp_path / "critic.npz")
    again = read_critic(tmp_path / "critic.npz")
    np.testing.assert_array_equal(again.score(network, grades.images), critic.score(network, grades.images))
    assert (again.graders, again.tensors, again.validation) == (critic.graders, TENSORS, critic.validation)
    with np.load(tmp_path / "critic.npz") as saved:  # what other readers of the file rely on
        assert saved["weights"].dtype == np.float32
        assert saved["bias"].shape == ()
        assert saved["tensors"].tolist() == list(TENSORS)
        assert (int(saved["pool"]), int(saved["input_size"]), saved["pixel_range"].tolist()) == (4, 128, [-1, 1])
        assert bool(saved["grey"])
        assert bool(saved["mirror"])


def test_one_grader_is_checked_by_sheets(network: ActivationNetwork) -> None:
    grades = graded(graders=1)
    assert cross_validate(network(grades.images), grades).unseen == "sheet"


def test_a_critic_that_cannot_tell_is_refused_with_what_to_do(network: ActivationNetwork) -> None:
    guesses = graded(wrong=0.5)
    with pytest.raises(CriticError, match=r"AUC 0\.\d+ \(.*graders left out of training.*grade more faces") as refusal:
        learn_critic(network, network(guesses.images), guesses)
    assert isinstance(refusal.value, AvatarError)
    few = graded(count=100)
    with pytest.raises(CriticError, match="too few to learn from"):
        learn_critic(network, network(few.images), few)
    one = graded(count=50, graders=1)
    with pytest.raises(CriticError, match="one sheet of one grader"):
        learn_critic(network, network(one.images), one)


def test_files_that_are_no_classifier_or_no_critic_are_refused_in_a_sentence(
    classifier: Path, tmp_path: Path, tiny_model: Path
) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    for path, message in [
        (tmp_path / "none.onnx", "cannot use the classifier"),
        (tmp_path / "text.onnx", "is not an ONNX model"),
        (write_feature_network(tmp_path / "mosaic.onnx"), "has no convolution"),
    ]:
        with pytest.raises(ActivationsError, match=message) as refusal:
            ActivationNetwork(path)
        assert "\n" not in str(refusal.value)
    with pytest.raises(ActivationsError):
        ActivationNetwork(tiny_model)  # a generator, by mistake
    with pytest.raises(ActivationsError, match="the activation relu9 is not in it"):
        ActivationNetwork(classifier, ("relu9",))
    with pytest.raises(ActivationsError, match=r"pooled is \[1, 24, 1, 1\]"):
        ActivationNetwork(classifier, ("pooled",))
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    for name, message in [("none.npz", "cannot read"), ("other.npz", "not a critic"), ("text.onnx", "not a critic")]:
        with pytest.raises(CriticError, match=message):
            read_critic(tmp_path / name)


def test_a_critic_refuses_another_classifier(network: ActivationNetwork, tmp_path: Path) -> None:
    grades = graded()
    critic = learn_critic(network, network(grades.images), grades)
    other = ActivationNetwork(write_classifier(tmp_path / "other.onnx", seed=1))
    with pytest.raises(CriticError, match="another classifier"):
        critic.score(other, grades.images)
