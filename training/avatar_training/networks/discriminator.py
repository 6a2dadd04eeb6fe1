"""The discriminator of DCGAN, with the names, shapes and initial weights of MindSpore's tutorial; see `generator`."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.common.initializer import Normal, initializer
from mindspore.ops.auto_generate import ReluGrad

from avatar_training.networks import channels_last as cl
from avatar_training.networks.generator import hidden_layers
from avatar_training.networks.mirror import beside_mirror_image


class Discriminator(nn.Cell):
    """Images to one logit each: above 0 looks real. Section 3 of the paper; the mirror of the generator.

    Input: float32 [N, channels, image_size, image_size]. Output: float32 [N, 1]. Width doubles away from the image. The
    tutorial's network ends in a sigmoid, which has no weights; here the loss applies it. With spectral_norm, every
    convolution is a SpectralConv2d and there is no batch norm; the layers keep their numbers. With mirror, it sees each
    image beside its mirror image. norm and channels_last are as in the generator.
    """

    def __init__(self, image_size: int = 64, channels: int = 3, ndf: int = 64, spectral_norm: bool = False,
                 norm: Callable[..., nn.Cell] | None = None, channels_last: bool = False,
                 mirror: bool = False) -> None:  # fmt: skip
        super().__init__()
        self.channels_last, self.mirror = channels_last, mirror
        conv = cl.Conv2d if channels_last else nn.Conv2d
        if spectral_norm:
            conv = partial(SpectralConv2d, channels_last)
        norm = norm or (cl.BatchNorm2d if channels_last else nn.BatchNorm2d)
        weight_init = Normal(sigma=0.02, mean=0.0)
        widths = [ndf * 2**i for i in range(hidden_layers(image_size))]
        seen = 2 * channels if mirror else channels
        layers: list[nn.Cell] = [conv(seen, ndf, 4, 2, "pad", 1, weight_init=weight_init), LeakyReLU(0.2)]
        for width, wider in pairwise(widths):
            between = nn.Identity() if spectral_norm else norm(wider, gamma_init=Normal(sigma=0.02, mean=1.0))
            layers += [conv(width, wider, 4, 2, "pad", 1, weight_init=weight_init), between, LeakyReLU(0.2)]
        self.discriminator = nn.SequentialCell(*layers, conv(widths[-1], 1, 4, 1, "valid", weight_init=weight_init))

    def construct(self, images: Tensor) -> Tensor:
        """[N, channels, image_size, image_size] -> [N, 1]."""
        if self.channels_last:
            images = cl.to_channels_last(images)
        if self.mirror:
            images = beside_mirror_image(images, self.channels_last)
        return self.discriminator(images).reshape((-1, 1))


class LeakyReLU(nn.Cell):
    """x where it is positive, slope * x elsewhere; section 3 of the paper takes 0.2.

    nn.LeakyReLU consists of Maximum, Select, Greater and more, each a pass over memory. The gradient is hand-written:
    automatic differentiation adds the gradients of both uses of x, which takes longer than everything else.
    """

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def construct(self, x: Tensor) -> Tensor:
        """Any shape."""
        return self.slope * x + (1 - self.slope) * ops.relu(x)

    def bprop(self, x: Tensor, out: Tensor, gradient: Tensor) -> tuple[Tensor]:
        """The gradient with respect to x."""
        return (self.slope * gradient + (1 - self.slope) * ReluGrad()(gradient, x),)


class SpectralConv2d(cl.Conv2d):
    """A convolution whose weight is divided by its largest singular value.

    T. Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018, algorithm 1: one power
    iteration per step. `iterate` is that iteration. It is not part of `construct` because a step has three passes.
    """

    def __init__(self, channels_last: bool, in_channels: int, out_channels: int, kernel_size: int, stride: int,
                 pad_mode: str, padding: int = 0, *, weight_init: Normal) -> None:  # fmt: skip
        super().__init__(in_channels, out_channels, kernel_size, stride, pad_mode, padding, weight_init=weight_init)
        self.channels_last = channels_last
        self.u = Parameter(initializer(Normal(1.0), (out_channels, 1), mstype.float32), "u", requires_grad=False)
        columns = in_channels * kernel_size * kernel_size
        self.v = Parameter(initializer(Normal(1.0), (columns, 1), mstype.float32), "v", requires_grad=False)

    def iterate(self) -> None:
        """One power iteration towards the left and right singular vectors u and v of the largest singular value."""
        matrix = ops.stop_gradient(self.weight.reshape((self.weight.shape[0], -1)))  # [out, in * k * k]
        v = _normalise(ops.matmul(matrix.T, self.u))
        ops.assign(self.v, v)
        ops.assign(self.u, _normalise(ops.matmul(matrix, v)))

    def construct(self, x: Tensor) -> Tensor:
        """[N, in, H, W] -> [N, out, H', W'], or both with their channels last."""
        matrix = self.weight.reshape((self.weight.shape[0], -1))
        sigma = ops.matmul(ops.matmul(self.u.T, matrix), self.v)  # [1, 1]; its gradient flows through the weight
        weight = self.weight / sigma.reshape(())
        return self.convolve(x, weight) if self.channels_last else self.conv2d(x, weight)


def spectral_convolutions(network: nn.Cell) -> list[SpectralConv2d]:
    """The layers of a network whose `iterate` must be called once per step."""
    return [cell for _, cell in network.cells_and_names() if isinstance(cell, SpectralConv2d)]


def _normalise(x: Tensor) -> Tensor:
    return x / (ops.sqrt((x * x).sum()) + 1e-12)
