"""The learning rate; mixed precision, its loss scaler, skipped steps and resuming. float16 runs on CPUs, too."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindspore import Tensor

from avatar_training import device
from avatar_training.config import TrainConfig
from avatar_training.loop import train
from avatar_training.networks.gan import Gan
from avatar_training.optimizer import learning_rate_at
from avatar_training.step import TrainingStep

from .conftest import MakeConfig

REAL = np.random.default_rng(0).uniform(-1, 1, (4, 3, 32, 32)).astype(np.float32)


RATE = 2e-4


def arrays(training: TrainingStep) -> dict[str, Any]:
    return {name: parameter.asnumpy().copy() for name, parameter in training.state().items()}


def test_the_learning_rate_falls_in_a_straight_line_at_the_end() -> None:
    config = TrainConfig(data="d", steps=10, learning_rate=1.0, lr_decay_steps=4)
    assert [learning_rate_at(config, step, 10) for step in (0, 6, 7, 8, 9)] == [1, 1, 0.75, 0.5, 0.25]
    constant = TrainConfig(data="d", steps=3, learning_rate=0.3)
    assert [learning_rate_at(constant, step, 3) for step in (0, 2)] == [0.3] * 2


def test_with_trained_networks_the_learning_rate_rises_first() -> None:
    config = TrainConfig(data="d", steps=9000, learning_rate=1.0, lr_decay_steps=4, init_from="pair", beta2=0.99)
    rates = [learning_rate_at(config, step, 9000) for step in (0, 99, 199, 200, 8999)]
    assert rates == pytest.approx([0.005, 0.5, 1, 1, 0.25])


@pytest.mark.parametrize("limit", [0.0, 1.0])
def test_a_step_in_float16_is_near_the_one_in_float32(tiny_config: MakeConfig, limit: float) -> None:
    device.select("CPU")
    gans = [Gan(tiny_config(activation_limit=limit), amp=amp) for amp in (False, True)]
    losses = [TrainingStep(gan).run(0, REAL, RATE) for gan in gans]
    assert losses[0] != losses[1]
    np.testing.assert_allclose(losses[0], losses[1], rtol=2e-3)


def test_overflowing_steps_halve_the_scale_and_move_nothing_until_one_fits(tiny_config: MakeConfig) -> None:
    device.select("CPU")
    training = TrainingStep(Gan(tiny_config(), amp=True))
    for optimizer in (training.g_optimizer, training.d_optimizer):
        optimizer.scaler.scale_value.set_data(Tensor(np.float32(2.0**24)))
    learnt = [
        name for name in training.state() if not name.startswith(("ema.", "loss_scale.")) and "moving_" not in name
    ]
    before = arrays(training)
    assert np.isfinite(training.run(0, REAL, RATE)).all()
    after = arrays(training)
    for which in ("g", "d"):
        assert after[f"loss_scale.{which}.scale_value"] == 2.0**23
        assert after[f"loss_scale.{which}.counter"] == 0
    assert [name for name in learnt if after[name].tobytes() != before[name].tobytes()] == []
    for step in range(1, 16):
        training.run(step, REAL, RATE)
    fitted = arrays(training)
    for which, network in (("g", "generator"), ("d", "discriminator")):
        assert 1 <= fitted[f"loss_scale.{which}.scale_value"] < 2.0**23
        assert fitted[f"loss_scale.{which}.counter"] > 0
        assert (fitted[f"{network}.0.weight"] != before[f"{network}.0.weight"]).any()


def test_a_run_can_go_on_in_the_other_precision(tiny_config: MakeConfig, tmp_path: Path) -> None:
    said: list[str] = []
    train(tiny_config(steps=2), tmp_path, on_message=said.append)
    train(tiny_config(steps=3, amp=True), tmp_path, resume=True, on_message=said.append)
    train(tiny_config(steps=4), tmp_path, resume=True, on_message=said.append)
    assert [line for line in said if " images of " in line] == [
        f"22 images of {tiny_config().data} on CPU",
        f"22 images of {tiny_config().data} on CPU in mixed precision",
        f"22 images of {tiny_config().data} on CPU",
    ]
    assert not any("cannot resume" in line for line in said)
