from typing import Any

import mindspore
import numpy as np
import pytest
from mindspore import Tensor, nn

from avatar_training.config import TrainConfig
from avatar_training.networks.discriminator import Discriminator, LeakyReLU, spectral_convolutions
from avatar_training.networks.gan import Gan
from avatar_training.networks.generator import Generator

pytestmark = pytest.mark.usefixtures("on_cpu")


Shapes = dict[str, tuple[int, ...]]


def shapes(network: Any) -> Shapes:
    return {parameter.name: tuple(parameter.shape) for parameter in network.get_parameters()}


def norm_shapes(name: str, width: int) -> Shapes:
    return {f"{name}.{kind}": (width,) for kind in ("moving_mean", "moving_variance", "gamma", "beta")}


def test_the_discriminator_has_the_tutorials_names_and_shapes() -> None:
    expected: Shapes = {"discriminator.0.weight": (64, 3, 4, 4)}
    expected |= {"discriminator.2.weight": (128, 64, 4, 4)} | norm_shapes("discriminator.3", 128)
    expected |= {"discriminator.5.weight": (256, 128, 4, 4)} | norm_shapes("discriminator.6", 256)
    expected |= {"discriminator.8.weight": (512, 256, 4, 4)} | norm_shapes("discriminator.9", 512)
    expected |= {"discriminator.11.weight": (1, 512, 4, 4)}
    assert shapes(Discriminator()) == expected


class TutorialGenerator(nn.Cell):
    """The layers as the tutorial writes them out, one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.SequentialCell(
            nn.Conv2dTranspose(100, 64, 4, 1, "valid"),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.Conv2dTranspose(64, 32, 4, 2, "pad", 1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2dTranspose(32, 16, 4, 2, "pad", 1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2dTranspose(16, 8, 4, 2, "pad", 1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2dTranspose(8, 3, 4, 2, "pad", 1),
            nn.Tanh(),
        )

    def construct(self, z: Any) -> Any:
        return self.generator(z)


def test_a_checkpoint_of_ours_loads_in_the_tutorials_network_and_draws_the_same(tmp_path: Any) -> None:
    ours, theirs = Generator(ngf=8), TutorialGenerator()
    mindspore.save_checkpoint(ours, str(tmp_path / "g.ckpt"))
    left_over, _ = mindspore.load_param_into_net(theirs, mindspore.load_checkpoint(str(tmp_path / "g.ckpt")))
    assert left_over == []
    z = Tensor(np.random.default_rng(0).standard_normal((2, 100, 1, 1)).astype(np.float32))
    assert (ours.set_train(False)(z).asnumpy() == theirs.set_train(False)(z).asnumpy()).all()


@pytest.mark.parametrize("spectral_norm", [False, True])
@pytest.mark.parametrize(("image_size", "channels", "latent_dim"), [(32, 3, 100), (64, 1, 7), (128, 3, 33)])
def test_every_size_gives_images_and_logits(
    image_size: int, channels: int, latent_dim: int, spectral_norm: bool
) -> None:
    generator = Generator(image_size, channels, latent_dim, ngf=4)
    discriminator = Discriminator(image_size, channels, 4, spectral_norm)
    images = generator(Tensor(np.ones((2, latent_dim, 1, 1), np.float32)))
    assert images.shape == (2, channels, image_size, image_size)
    assert np.abs(images.asnumpy()).max() <= 1
    assert discriminator(images).shape == (2, 1)


def test_initial_weights_have_the_papers_spread() -> None:
    arrays = {p.name: p.asnumpy() for p in Generator().get_parameters()}
    assert abs(arrays["generator.3.weight"].std() - 0.02) < 1e-3
    assert abs(arrays["generator.3.weight"].mean()) < 1e-3
    assert abs(arrays["generator.1.gamma"].mean() - 1) < 5e-3
    assert abs(arrays["generator.1.gamma"].std() - 0.02) < 5e-3


@pytest.mark.parametrize("channels_last", [False, True])
def test_excess_is_what_the_relus_give_beyond_a_limit(channels_last: bool) -> None:
    generator = Generator(32, 3, 10, ngf=4, channels_last=channels_last)
    z = Tensor(np.random.default_rng(0).standard_normal((5, 10, 1, 1)).astype(np.float32))
    images, excess = beyond(generator, z, 0.5)
    np.testing.assert_allclose(images, generator(z).asnumpy(), atol=1e-6)
    x, squares, relus = (Tensor(z.asnumpy().transpose(0, 2, 3, 1)) if channels_last else z), 0.0, 0
    for layer in generator.generator:
        x = layer(x)
        if isinstance(layer, nn.ReLU):
            squares += np.square(np.maximum(x.asnumpy() - 0.5, 0)).sum()
            relus += 1
    assert relus == 3
    assert excess == pytest.approx(squares / 5, rel=1e-5)
    assert beyond(generator, z, 100.0)[1] == 0


def beyond(generator: Generator, z: Tensor, limit: float) -> tuple[Any, float]:
    images, excess = mindspore.jit(generator.with_excess)(z, limit)
    return images.asnumpy(), excess.asnumpy().item()


def test_leaky_relu_is_the_textbooks() -> None:
    x = np.array([-2, -0.5, 0, 0.5, 2], np.float32)
    np.testing.assert_allclose(LeakyReLU(0.2)(Tensor(x)).asnumpy(), np.where(x > 0, x, 0.2 * x), rtol=1e-6)


def test_power_iterations_find_the_largest_singular_value() -> None:
    # A Gan's weights are its seed's; those of a Discriminator by itself may have two largest values nearly the same.
    config = TrainConfig(data="", steps=1, image_size=32, ngf=8, ndf=8, spectral_norm=True)
    convolutions = spectral_convolutions(Gan(config).discriminator)
    assert len(convolutions) == 4

    @mindspore.jit
    def iterate() -> None:
        for convolution in convolutions:
            convolution.iterate()

    for _ in range(60):
        iterate()
    for convolution in convolutions:
        matrix = convolution.weight.asnumpy().reshape(convolution.weight.shape[0], -1)
        found = (convolution.u.asnumpy().T @ matrix @ convolution.v.asnumpy()).item()
        assert found == pytest.approx(np.linalg.norm(matrix, 2), rel=0.02)
