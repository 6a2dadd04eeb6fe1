"""The reward: a critic's logits, and what they do to a run."""

import shutil
from pathlib import Path

import mindspore
import numpy as np
import numpy.typing as npt
import pytest
from mindspore import Tensor
from PIL import Image

from avatar_training.errors import TrainingError
from avatar_training.loop import train
from avatar_training.networks.frozen_features import FrozenFeatures
from avatar_training.networks.gan import Gan
from avatar_training.networks.resize import Resize
from avatar_training.objective.reward import Reward, penalty
from avatar_training.steering.critic import read_critic
from avatar_training.step import TrainingStep

from ..classifier import ACTIVATIONS, write_critic
from ..conftest import MakeConfig, losses, stats, weights

Array = npt.NDArray[np.float32]

pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.fixture(scope="module")
def critic(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_critic(tmp_path_factory.mktemp("critic") / "critic.npz", classifier)


def resized(images: Array, wanted: int, offset: float = 0.0, mirrored: float = 0.0) -> Array:
    n, side = images.shape[0], images.shape[1]
    columns = Resize(side, wanted)(Tensor([offset] * n, mindspore.float32), Tensor([mirrored] * n, mindspore.float32))
    rows = Resize(side, wanted)(*[Tensor([0.0] * n, mindspore.float32)] * 2)
    return np.asarray(rows.asnumpy() @ images @ columns.asnumpy().transpose(0, 2, 1))


def test_pixels_are_resized_as_pillow_resizes() -> None:
    image = np.random.default_rng(2).random((48, 48), np.float32)
    for wanted in (96, 20):
        theirs = np.asarray(Image.fromarray(image).resize((wanted, wanted), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(resized(image[None], wanted)[0], theirs, atol=1e-5)
        np.testing.assert_allclose(resized(image[None], wanted, 0, 1)[0], theirs[:, ::-1], atol=1e-5)
    np.testing.assert_allclose(resized(image[None], 48, 2)[0, :, :46], image[:, 2:], atol=1e-5)


def test_logits_are_the_weighted_means_of_activations(classifier: Path, critic: Path) -> None:
    """Grey, in the critic's range, shifted and mirrored as the random numbers say."""
    images = np.random.default_rng(3).uniform(-1, 1, (4, 3, 32, 32)).astype(np.float32)
    grey = np.tensordot(images, (0.299, 0.587, 0.114), (1, 0)).astype(np.float32)  # [N, 32, 32]
    large = resized(grey, 128)
    draws = np.array([[0.5, 0.5, 0.9]] * 3 + [[0.5, 0.75, 0.1]], np.float32)  # only the last: by half of 2 pixels
    large[3] = resized(grey[3:], 128, 1, 1)[0]
    expected = np.full(4, 0.25)
    parts = np.split(np.load(critic)["weights"], [6 * 16])
    features = FrozenFeatures(classifier, ACTIVATIONS)(Tensor(np.repeat(large[:, None], 3, 1)))
    for activation, part in zip(features, parts, strict=True):
        side = activation.shape[2] // 4
        means = activation.asnumpy().reshape(4, -1, 4, side, 4, side).mean((3, 5))
        expected += means.reshape(4, -1) @ part
    reward = Reward(read_critic(critic), classifier, 32, 3)
    np.testing.assert_allclose(reward(Tensor(images), Tensor(draws)).asnumpy(), expected, rtol=1e-4, atol=1e-4)

    def loss(x: Tensor) -> Tensor:
        return penalty(reward(x, Tensor(draws)))

    found = mindspore.jit(mindspore.value_and_grad(loss))
    before, gradient = (value.asnumpy() for value in found(Tensor(images)))
    after, _ = found(Tensor(images - 1e-2 * gradient / np.abs(gradient).max()))
    assert after.asnumpy() < before


def test_a_critic_of_another_classifier_is_refused(classifier: Path, tmp_path: Path) -> None:
    critic = read_critic(write_critic(tmp_path / "critic.npz", classifier, network_sha256="feed"))
    with pytest.raises(TrainingError, match="another classifier"):
        Reward(critic, classifier, 32, 3)


@pytest.mark.timeout(300)  # two graphs to compile
def test_a_rewarded_run_resumes_to_the_bit_and_may_get_another_critic(
    classifier: Path, critic: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    critics = (str(critic), str(write_critic(tmp_path / "second.npz", classifier, seed=2)))
    rewarded = {"critic": critics, "critic_network": (str(classifier),) * 2, "reward_images": 2}
    config = tiny_config(steps=4, snapshot_every=2, **rewarded)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config, whole)
    shutil.copytree(whole, parts)
    (parts / "snapshots" / "step-00000004.ckpt").unlink()
    with pytest.raises(TrainingError, match="another file, or none, as --critic"):
        train(tiny_config(steps=4, snapshot_every=2, reward_images=2), parts, resume=True)
    shutil.copytree(parts, tmp_path / "other")
    train(config, parts, resume=True)
    assert weights(parts) == weights(whole)
    assert [row["critic"] for row in stats(whole, "g_loss")] != [0.0] * 4
    assert "critic's mean logit" in (whole / "report.html").read_text()
    assert losses(whole) == losses(parts)
    said: list[str] = []
    newer = config.with_changes(critic=(str(critic), str(write_critic(tmp_path / "newer.npz", classifier, seed=1))))
    train(newer, tmp_path / "other", resume=True, on_message=said.append)
    assert any("another critic: " in line and "newer.npz" in line for line in said)
    assert losses(whole)[:2] == losses(tmp_path / "other")[:2]
    assert losses(whole) != losses(tmp_path / "other")


def test_the_critics_logit_holds_nothing_of_the_activations_excess(
    classifier: Path, critic: Path, tiny_config: MakeConfig
) -> None:
    rewarded = {"critic": (str(critic),), "critic_network": (str(classifier),), "reward_images": 4}
    real = np.random.default_rng(0).uniform(-1, 1, (4, 3, 32, 32)).astype(np.float32)
    limits = (0.0, 0.1)
    steps = [TrainingStep(Gan(tiny_config(activation_limit=limit, **rewarded))) for limit in limits]
    without, limited = (step.run(0, real, 2e-3)[2] for step in steps)
    assert limited == pytest.approx(without, rel=1e-5)


def test_a_reward_makes_the_critic_find_less_in_float16_too(
    classifier: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    stern = write_critic(tmp_path / "stern.npz", classifier, bias=10.0)  # it finds every face broken
    critic = {"critic": (str(stern),), "critic_network": (str(classifier),)}
    settings = {**critic, "reward_images": 4, "reward_weight": 200.0}
    training = TrainingStep(Gan(tiny_config(**settings), amp=True))
    real = np.random.default_rng(0).uniform(-1, 1, (4, 3, 32, 32)).astype(np.float32)
    logits = [training.run(step, real, 2e-3)[2] for step in range(20)]
    assert np.mean(logits[-5:]) < np.mean(logits[:5])
    assert not any("features" in name for name in training.state())
