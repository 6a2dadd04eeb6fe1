"""The refined generator and the feature heads: what they add to the tutorial's networks, and that a run has both."""

import shutil
from pathlib import Path

import mindspore
import numpy as np
import pytest
from mindspore import Tensor, nn

from avatar_training import device
from avatar_training.config import TrainConfig
from avatar_training.errors import TrainingError
from avatar_training.loop import train
from avatar_training.networks import channels_last as cl
from avatar_training.networks import feature_heads
from avatar_training.networks.gan import Gan
from avatar_training.networks.generator import Generator
from avatar_training.run_folder.checkpoint import read

from ..classifier import ACTIVATIONS, write_classifier, write_critic
from ..conftest import MakeConfig, weights


@pytest.fixture(autouse=True)
def on_cpu() -> None:
    device.select("CPU")


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_a_tutorial_generator_starts_out_unchanged_when_it_is_refined(channels_last: bool, training: bool) -> None:
    plain = Generator(32, ngf=8, channels_last=channels_last).set_train(training)
    refined = Generator(32, ngf=8, channels_last=channels_last, refined=True).set_train(training)
    weights = {parameter.name: parameter for parameter in plain.get_parameters()}
    for parameter in refined.get_parameters():
        if parameter.name in weights:
            parameter.set_data(weights.pop(parameter.name).value())
    assert not weights
    z = Tensor(np.random.default_rng(0).standard_normal((4, 100, 1, 1)).astype(np.float32))
    np.testing.assert_array_equal(refined(z).asnumpy(), plain(z).asnumpy())


def test_both_layouts_of_a_refined_generator_draw_the_same() -> None:
    config = TrainConfig(data="x", steps=1, image_size=32, ngf=8, ndf=8, generator="refined")
    first = Gan(config).generator
    second = Generator(32, ngf=8, refined=True).set_train(True)
    rng = np.random.default_rng(0)
    for ours, theirs in zip(first.get_parameters(), second.get_parameters(), strict=True):
        array = ours.asnumpy() if "norm2.gamma" not in ours.name else rng.standard_normal(ours.shape)
        for parameter in (ours, theirs):
            parameter.set_data(Tensor(array.astype(np.float32)))
    z = Tensor(rng.standard_normal((4, 100, 1, 1)).astype(np.float32))
    np.testing.assert_allclose(first(z).asnumpy(), second(z).asnumpy(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_convolution_that_keeps_the_size_and_its_gradients_are_mindspores(kernel: int) -> None:
    theirs = nn.Conv2d(6, 5, kernel, 1, "pad", kernel // 2)
    ours = cl.Conv2dSame(6, 5, kernel, 1, "pad", kernel // 2)
    ours.weight.set_data(theirs.weight.value())
    rng = np.random.default_rng(0)
    x, direction = (Tensor(rng.standard_normal((3, width, 8, 8)).astype(np.float32)) for width in (6, 5))

    def expected_sum(x: Tensor) -> Tensor:
        return (theirs(x) * direction).sum()

    def found_sum(x: Tensor) -> Tensor:
        return (cl.to_channels_first(ours(cl.to_channels_last(x))) * direction).sum()

    expected = mindspore.value_and_grad(expected_sum, 0, [theirs.weight])(x)
    found = mindspore.value_and_grad(found_sum, 0, [ours.weight])(x)
    np.testing.assert_allclose(found[1][0].asnumpy(), expected[1][0].asnumpy(), rtol=0, atol=1e-4)
    np.testing.assert_allclose(found[1][1][0].asnumpy(), expected[1][1][0].asnumpy(), rtol=0, atol=1e-4)


@pytest.mark.timeout(300)  # two graphs to compile
def test_a_run_with_both_starts_from_a_tutorial_pair_and_resumes_to_the_bit(
    tiny_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_heads, "ACTIVATIONS", ACTIVATIONS)
    train(tiny_config(steps=1), tmp_path / "tutorial")
    heads = str(write_classifier(tmp_path / "classifier.onnx"))
    config = tiny_config(
        steps=4,
        snapshot_every=2,
        generator="refined",
        mirror=True,
        feature_heads=heads,
        critic=(str(write_critic(tmp_path / "critic.npz", Path(heads))),),
        critic_network=(heads,),
        reward_images=2,
        init_from=str(tmp_path / "tutorial"),
    )
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config, whole)
    shutil.copytree(whole, parts)
    (parts / "snapshots" / "step-00000004.ckpt").unlink()
    damaged = tmp_path / "moved.onnx"
    damaged.write_bytes(Path(heads).read_bytes() + b"\x0a\x00")
    with pytest.raises(TrainingError, match="another file, or none, as --feature-heads; pass the same"):
        train(config.with_changes(feature_heads=str(damaged)), parts, resume=True)
    damaged.write_bytes(Path(heads).read_bytes())
    train(config.with_changes(feature_heads=str(damaged)), parts, resume=True)
    assert weights(parts) == weights(whole)
    judges, drawn = read(whole / "discriminator.ckpt"), read(whole / "generator.ckpt")
    assert {"heads.0.0.weight", "across_scales.0.weight", "discriminator.0.weight"} < set(judges)
    assert not any("features" in name or name.startswith(feature_heads.FROZEN) for name in judges)
    assert drawn["residual_blocks.0.0.norm2.gamma"].any()  # it has begun to learn
    for seen in (judges["discriminator.0.weight"], judges["heads.0.0.weight"]):
        assert seen[:, seen.shape[1] // 2 :].any()  # so have they from mirror images
