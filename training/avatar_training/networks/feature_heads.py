"""Discriminators that see an image through a classifier that stays as it is.

A. Sauer, K. Chitta, J. Müller, A. Geiger, "Projected GANs Converge Faster", NeurIPS 2021, section 3: the classifier's
activations at four scales are mixed over channels and scales by random weights that never learn, and each mixture gets
a small discriminator of its own, with spectral normalisation. They judge beside the discriminator of pixels: alone they
leave a checkerboard.
"""

from pathlib import Path

from mindspore import Tensor, nn, ops
from mindspore.common.initializer import Normal

from avatar_training.networks import channels_last as cl
from avatar_training.networks.discriminator import LeakyReLU, SpectralConv2d
from avatar_training.networks.frozen_features import FrozenFeatures
from avatar_training.networks.mirror import beside_mirror_image
from avatar_training.networks.resize import Resize

ACTIVATIONS = ("block_2_add", "block_5_add", "block_12_add", "block_16_project_BN")
"""The tensors of MobileNetV2 that are seen: the last narrow one of each scale, at 1/4 to 1/32 of the side."""

INPUT_SIZE = 128
"""Images are enlarged to this side before the classifier."""

WIDTH = 64
"""Channels of the mixtures and of the heads."""

FROZEN = "seen."
"""What the names of the classifier's own parameters begin with; they are no part of a checkpoint.

A critic has such parameters, too. Where two have one name, MindSpore renames every parameter of a step.
"""


class FeatureHeads(nn.Cell):
    """Images to logits, above 0 for real: float32 [N, channels, S, S] in [-1, 1] -> float32 [N, 4].

    Args:
        path: an ONNX file of MobileNetV2, as Keras names its tensors, for RGB images in [-1, 1].
        image_size: S; at most INPUT_SIZE.
        channels: 1 for grey, 3 for RGB.
        channels_last: compute the heads by the layers of `channels_last`.
        mirror: the heads see what they judge beside its mirror image.

    Raises:
        FeatureNetworkError: the file cannot be read or lacks ACTIVATIONS.
    """

    def __init__(
        self, path: Path, image_size: int, channels: int, channels_last: bool = False, mirror: bool = False
    ) -> None:
        super().__init__()
        self.channels_last, self.mirror = channels_last, mirror
        self.features = FrozenFeatures(path, ACTIVATIONS, grey=channels == 1)
        self.features.update_parameters_name(FROZEN)
        self.enlarge = Resize(image_size, INPUT_SIZE)(Tensor([0.0]), Tensor([0.0]))[0]  # neither shifted nor mirrored
        shapes = self.features.shapes(channels, INPUT_SIZE)
        self.across_channels = nn.CellList([_random(width, 1, channels_last) for _, width, _, _ in shapes])
        self.across_scales = nn.CellList([_random(WIDTH, 3, channels_last) for _ in shapes])
        self.heads = nn.CellList(
            [_head(side, 2 * WIDTH if mirror else WIDTH, channels_last) for _, _, side, _ in shapes]
        )
        for cell in (self.across_channels, self.across_scales):
            for parameter in cell.get_parameters():
                parameter.requires_grad = False

    def construct(self, images: Tensor) -> Tensor:
        """[N, channels, S, S] -> [N, 4]."""
        return self.judge(self.see(images))

    def see(self, images: Tensor) -> tuple[Tensor, ...]:
        """[N, channels, S, S] -> what each head judges, the coarsest scale first. Nothing here learns."""
        large = ops.matmul(ops.matmul(self.enlarge, images), self.enlarge.T)
        activations = self.features(large)
        coarser = None
        seen: tuple[Tensor, ...] = ()
        for i in range(len(self.heads) - 1, -1, -1):
            activation = cl.to_channels_last(activations[i]) if self.channels_last else activations[i]
            mixed = self.across_channels[i](activation)
            if coarser is not None:
                mixed = mixed + self._doubled(coarser)
            coarser = self.across_scales[i](mixed)
            seen += (coarser,)
        return seen

    def judge(self, seen: tuple[Tensor, ...]) -> Tensor:
        """What `see` gives -> logits [N, 4]."""
        logits: tuple[Tensor, ...] = ()
        for i in range(len(self.heads) - 1, -1, -1):
            x = seen[len(self.heads) - 1 - i]
            x = beside_mirror_image(x, self.channels_last) if self.mirror else x
            logits += (self.heads[i](x).reshape((-1, 1)),)
        return ops.concat(logits, axis=1)

    def _doubled(self, x: Tensor) -> Tensor:
        """Each pixel four times."""
        if not self.channels_last:
            return ops.interpolate(x, scale_factor=2.0, mode="nearest", recompute_scale_factor=True)
        count, height, width, channels = x.shape
        rows = ops.broadcast_to(x.reshape((count, height, 1, width, 1, channels)), (-1, -1, 2, -1, 2, -1))
        return rows.reshape((count, 2 * height, 2 * width, channels))


def _head(side: int, width: int, channels_last: bool) -> nn.SequentialCell:
    layers: list[nn.Cell] = []
    while side > 4:
        layers += [SpectralConv2d(channels_last, width, WIDTH, 4, 2, "pad", 1, weight_init=Normal(0.02))]
        layers += [LeakyReLU(0.2)]
        side, width = side // 2, WIDTH
    return nn.SequentialCell(*layers, SpectralConv2d(channels_last, width, 1, 4, 1, "valid", weight_init=Normal(0.02)))


def _random(width: int, kernel_size: int, channels_last: bool) -> nn.Conv2d:
    """A convolution to WIDTH channels, drawn by He et al. 2015 so that the values' spread stays."""
    conv, sigma = cl.Conv2dSame if channels_last else nn.Conv2d, (1 / (width * kernel_size**2)) ** 0.5
    return conv(width, WIDTH, kernel_size, 1, "pad", kernel_size // 2, weight_init=Normal(sigma))
