"""The CPU's formulation of each network equals MindSpore's own layers: outputs, gradients, moving statistics."""

from typing import Any

import mindspore
import numpy as np
import pytest
from mindspore import Tensor

from avatar_training.networks.discriminator import Discriminator
from avatar_training.networks.generator import Generator

pytestmark = pytest.mark.usefixtures("on_cpu")


def compare(plain: Any, fast: Any, *shape: int) -> None:
    """Outputs, gradients with respect to input and weights, and every parameter after a pass, to float32's rounding."""
    draw = np.random.default_rng(0)
    for ours, theirs in zip(fast.get_parameters(), plain.get_parameters(), strict=True):
        assert (ours.name, ours.shape) == (theirs.name, theirs.shape)
        values = draw.normal(0.3, 0.1, theirs.shape).astype(np.float32)  # larger than at first: gradients that matter
        ours.set_data(Tensor(values.copy()))
        theirs.set_data(Tensor(values.copy()))
    x = Tensor(draw.standard_normal(shape).astype(np.float32))
    toward = Tensor(draw.standard_normal(plain.set_train(False)(x).shape).astype(np.float32))
    close(fast.set_train(False)(x), plain(x))

    for ours, theirs in zip(one_pass(fast, x, toward), one_pass(plain, x, toward), strict=True):
        close(ours, theirs)


def one_pass(network: Any, x: Tensor, toward: Tensor) -> list[Tensor]:
    network.set_train()

    def objective(x: Tensor) -> Tensor:
        return (network(x) * toward).sum()

    gradient = mindspore.value_and_grad(objective, 0, network.trainable_params())
    value, (to_input, to_weights) = mindspore.jit(gradient)(x)
    return [value, to_input, *to_weights, *network.get_parameters()]


def close(ours: Tensor, theirs: Tensor) -> None:
    ours, theirs = ours.asnumpy(), theirs.asnumpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5 * np.abs(theirs).max())


@pytest.mark.parametrize("image_size", [32, 128])
def test_generator(image_size: int) -> None:
    compare(*(Generator(image_size, 3, 7, 4, channels_last=last) for last in (False, True)), 3, 7, 1, 1)


@pytest.mark.parametrize(("image_size", "spectral_norm"), [(32, False), (128, False), (32, True)])
def test_discriminator(image_size: int, spectral_norm: bool) -> None:
    mirror = not spectral_norm
    networks = [Discriminator(image_size, 3, 4, spectral_norm, None, last, mirror) for last in (False, True)]
    compare(*networks, 3, 3, image_size, image_size)
