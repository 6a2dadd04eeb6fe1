"""The two networks of DCGAN, with the names, shapes and initial weights of MindSpore's tutorial.

A. Radford, L. Metz, S. Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks", ICLR 2016, section 3: strided and transposed convolutions only, batch normalisation except at the
generator's output and the discriminator's input, ReLU in the generator, LeakyReLU in the discriminator, tanh out.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.common.initializer import Normal, initializer
from mindspore.ops.auto_generate import ReluGrad

from avatar_training import channels_last as cl

PIXEL_RANGE = (-1.0, 1.0)
"""What black and white are to both networks: the range of tanh."""


def hidden_layers(image_size: int) -> int:
    """Hidden layers of either network: 3, 4 or 5 for images of 32, 64 or 128 pixels."""
    return int(math.log2(image_size)) - 2


class Generator(nn.Cell):
    """Latent vectors to images; figure 1 of the paper.

    Input: z float32 [N, latent_dim, 1, 1], standard normal. Output: float32 [N, channels, image_size, image_size] in
    [-1, 1]. The layers are `generator.0` (4x4 transposed convolution of z), then batch norm, ReLU and a 4x4 transposed
    convolution of stride 2 in turn. Width doubles towards z: ngf * 8 at image_size 64. norm makes other batch norms
    than the usual. With channels_last the same is computed by the layers of `channels_last`, which are fast on a CPU.
    """

    def __init__(self, image_size: int = 64, channels: int = 3, latent_dim: int = 100, ngf: int = 64,
                 norm: Callable[..., nn.Cell] | None = None, channels_last: bool = False) -> None:  # fmt: skip
        super().__init__()
        self.channels_last = channels_last
        transposed = cl.Conv2dTranspose if channels_last else nn.Conv2dTranspose
        norm = norm or (cl.BatchNorm2d if channels_last else nn.BatchNorm2d)
        weight_init = Normal(sigma=0.02, mean=0.0)  # section 4, "Details of adversarial training"
        widths = [ngf * 2**i for i in reversed(range(hidden_layers(image_size)))]
        layers: list[nn.Cell] = [transposed(latent_dim, widths[0], 4, 1, "valid", weight_init=weight_init)]
        for width, narrower in zip(widths, [*widths[1:], channels], strict=True):
            layers += [norm(width, gamma_init=Normal(sigma=0.02, mean=1.0)), nn.ReLU()]
            layers += [transposed(width, narrower, 4, 2, "pad", 1, weight_init=weight_init)]
        self.generator = nn.SequentialCell(*layers, nn.Tanh())

    def construct(self, z: Tensor) -> Tensor:
        """[N, latent_dim, 1, 1] -> [N, channels, image_size, image_size]."""
        if self.channels_last:
            return cl.to_channels_first(self.generator(cl.to_channels_last(z)))
        return self.generator(z)

    def with_excess(self, z: Tensor, limit: float) -> tuple[Tensor, Tensor]:
        """The images, and by how much what the ReLUs give exceeds a limit: float32 [], squares summed over an image."""
        x = cl.to_channels_last(z) if self.channels_last else z
        squares = ops.zeros((), mstype.float32)
        for layer in self.generator:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                squares += ops.square(ops.relu(x.astype(mstype.float32) - limit)).sum()
        return cl.to_channels_first(x) if self.channels_last else x, squares / z.shape[0]


class Discriminator(nn.Cell):
    """Images to one logit each: above 0 looks real. Section 3 of the paper; the mirror of the generator.

    Input: float32 [N, channels, image_size, image_size]. Output: float32 [N, 1]. Width doubles away from the image. The
    tutorial's network ends in a sigmoid, which has no weights: here the loss applies it. With spectral_norm every
    convolution is a SpectralConv2d and there is no batch norm; the layers keep their numbers. channels_last as in the
    generator.
    """

    def __init__(self, image_size: int = 64, channels: int = 3, ndf: int = 64, spectral_norm: bool = False,
                 norm: Callable[..., nn.Cell] | None = None, channels_last: bool = False) -> None:  # fmt: skip
        super().__init__()
        self.channels_last = channels_last
        conv = cl.Conv2d if channels_last else nn.Conv2d
        if spectral_norm:
            conv = partial(SpectralConv2d, channels_last)
        norm = norm or (cl.BatchNorm2d if channels_last else nn.BatchNorm2d)
        weight_init = Normal(sigma=0.02, mean=0.0)
        widths = [ndf * 2**i for i in range(hidden_layers(image_size))]
        layers: list[nn.Cell] = [
            conv(channels, ndf, 4, 2, "pad", 1, weight_init=weight_init),
            LeakyReLU(0.2),
        ]
        for width, wider in pairwise(widths):
            between = nn.Identity() if spectral_norm else norm(wider, gamma_init=Normal(sigma=0.02, mean=1.0))
            layers += [conv(width, wider, 4, 2, "pad", 1, weight_init=weight_init), between, LeakyReLU(0.2)]
        self.discriminator = nn.SequentialCell(*layers, conv(widths[-1], 1, 4, 1, "valid", weight_init=weight_init))

    def construct(self, images: Tensor) -> Tensor:
        """[N, channels, image_size, image_size] -> [N, 1]."""
        if self.channels_last:
            images = cl.to_channels_last(images)
        return self.discriminator(images).reshape((-1, 1))

    def spectral_convolutions(self) -> "list[SpectralConv2d]":
        """The layers whose `iterate` has to be called once before each step."""
        return [cell for _, cell in self.cells_and_names() if isinstance(cell, SpectralConv2d)]


class LeakyReLU(nn.Cell):
    """x where it is positive, slope * x elsewhere; section 3 of the paper takes 0.2.

    nn.LeakyReLU is built from Maximum, Select, Greater and more, each a pass over memory. The gradient is written out:
    left to automatic differentiation, the two uses of x cost an AddN that takes longer than all the rest.
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
    iteration a step. `iterate` is that iteration, apart from `construct`, so that the three passes of a step share it.
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


def _normalise(x: Tensor) -> Tensor:
    return x / (ops.sqrt((x * x).sum()) + 1e-12)
