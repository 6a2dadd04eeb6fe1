"""The generator of DCGAN, with the names, shapes and initial weights of MindSpore's tutorial.

A. Radford, L. Metz, S. Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks", ICLR 2016, section 3: strided and transposed convolutions only, batch normalisation except at the
generator's output and the discriminator's input, ReLU in the generator, LeakyReLU in the discriminator, tanh out.
"""

import math
from collections.abc import Callable

from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.common.initializer import Normal

from avatar_training.networks import channels_last as cl
from avatar_training.networks.bounded import BOUND, BoundedReLU
from avatar_training.networks.residual import BLOCKS, ResidualBlock

PIXEL_RANGE = (-1.0, 1.0)
"""Values of black and white for both networks: the range of tanh."""


def hidden_layers(image_size: int) -> int:
    """Hidden layers of either network: 3, 4 or 5 for images of 32, 64 or 128 pixels."""
    return int(math.log2(image_size)) - 2


class Generator(nn.Cell):
    """Latent vectors to images; figure 1 of the paper.

    Input: z float32 [N, latent_dim, 1, 1], standard normal. Output: float32 [N, channels, image_size, image_size] in
    [-1, 1]. The layers are `generator.0` (4x4 transposed convolution of z), then batch norm, ReLU and a 4x4 transposed
    convolution of stride 2 in turn. Width doubles towards z: ngf * 8 at image_size 64. norm replaces the
    usual batch norm. With latent_map, an affine map of z (`latent_map`) comes before the first layer: see `steering`.
    With refined, residual blocks follow the first ReLUs: see `residual`. With bounded, no ReLU gives more than 1: see
    `bounded`.
    With channels_last, the layers of `channels_last` compute the same faster on a CPU.
    """

    def __init__(self, image_size: int = 64, channels: int = 3, latent_dim: int = 100, ngf: int = 64,
                 norm: Callable[..., nn.Cell] | None = None, channels_last: bool = False,
                 latent_map: bool = False, refined: bool = False, bounded: bool = False) -> None:  # fmt: skip
        super().__init__()
        self.image_size, self.channels_last = image_size, channels_last
        self.latent_map = nn.Dense(latent_dim, latent_dim) if latent_map else nn.Identity()
        transposed = cl.Conv2dTranspose if channels_last else nn.Conv2dTranspose
        norm = norm or (cl.BatchNorm2d if channels_last else nn.BatchNorm2d)
        weight_init = Normal(sigma=0.02, mean=0.0)  # section 4, "Details of adversarial training"
        widths = [ngf * 2**i for i in reversed(range(hidden_layers(image_size)))]
        relu = BoundedReLU if bounded else nn.ReLU
        layers: list[nn.Cell] = [transposed(latent_dim, widths[0], 4, 1, "valid", weight_init=weight_init)]
        for width, narrower in zip(widths, [*widths[1:], channels], strict=True):
            layers += [norm(width, gamma_init=Normal(sigma=0.02, mean=1.0)), relu()]
            layers += [transposed(width, narrower, 4, 2, "pad", 1, weight_init=weight_init)]
        self.generator = nn.SequentialCell(*layers, nn.Tanh())
        blocks = (*BLOCKS, *[0] * len(widths)) if refined else [0] * len(widths)
        self.residual_blocks = nn.CellList(
            [
                nn.SequentialCell([ResidualBlock(width, norm, channels_last, relu) for _ in range(count)])
                for width, count in zip(widths, blocks, strict=False)
            ]
        )
        if bounded:  # a parameter, so that a checkpoint tells
            self.activation_bound = Parameter(Tensor(int(BOUND), mstype.int32), requires_grad=False)

    def construct(self, z: Tensor) -> Tensor:
        """[N, latent_dim, 1, 1] -> [N, channels, image_size, image_size]."""
        return self.with_excess(z, 0.0)[0]

    def with_excess(self, z: Tensor, limit: float) -> tuple[Tensor, Tensor]:
        """The images, and how far hidden activations exceed a limit, 0 for none: float32 [], squares summed per image.

        Activations are the outputs of the ReLUs that residual blocks may follow.
        """
        x = self.latent_map(z.reshape((z.shape[0], -1))).reshape(z.shape)
        x = cl.to_channels_last(x) if self.channels_last else x
        squares = ops.zeros((), mstype.float32)
        for i in range(len(self.generator)):
            x = self.generator[i](x)
            if i % 3 == 2:  # a ReLU
                if limit:  # with +=, MindSpore would write into a zero that other parts of the graph share
                    squares = squares + ops.square(ops.relu(x.astype(mstype.float32) - limit)).sum()
                x = self.residual_blocks[i // 3](x)
        return cl.to_channels_first(x) if self.channels_last else x, squares / z.shape[0]
