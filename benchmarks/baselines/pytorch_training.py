"""avatar-train's step in PyTorch: the same networks, losses, augmentation, optimizers, order and moving average.

Written as a PyTorch user would write it: eager, in-place activations, autograd.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avatar_training.config import TrainConfig

TRANSLATION, CUTOUT = 1 / 8, 0.35
"""As in avatar_training.objective.augmentation."""


class PyTorchGan:
    """The networks of a recipe without spectral norm; images are stored in memory_format."""

    def __init__(self, config: TrainConfig, memory_format: torch.memory_format) -> None:
        self.config, self.memory_format = config, memory_format
        widths = [config.ngf * 2**i for i in (3, 2, 1, 0)]
        layers: list[nn.Module] = [nn.ConvTranspose2d(config.latent_dim, widths[0], 4, bias=False)]
        for width, narrower in zip(widths, [*widths[1:], config.channels], strict=True):
            layers += [nn.BatchNorm2d(width), nn.ReLU(True), nn.ConvTranspose2d(width, narrower, 4, 2, 1, bias=False)]
        self.generator = nn.Sequential(*layers, nn.Tanh())
        widths = [config.ndf * 2**i for i in (0, 1, 2, 3)]
        layers = [nn.Conv2d(config.channels, widths[0], 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
        for width, wider in pairwise(widths):
            layers += [nn.Conv2d(width, wider, 4, 2, 1, bias=False), nn.BatchNorm2d(wider), nn.LeakyReLU(0.2, True)]
        self.discriminator = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, bias=False))
        for network in (self.generator, self.discriminator):
            network.to(memory_format=memory_format)
            for name, parameter in network.named_parameters():
                if parameter.ndim == 4:
                    nn.init.normal_(parameter, 0.0, 0.02)
                elif name.endswith("weight"):
                    nn.init.normal_(parameter, 1.0, 0.02)
        self.average = [value.clone() for value in self._averaged()]
        adam = {"lr": config.learning_rate, "betas": (config.beta1, config.beta2)}
        self.adam_g = torch.optim.Adam(self.generator.parameters(), **adam)
        self.adam_d = torch.optim.Adam(self.discriminator.parameters(), **adam)

    def step(self, z: Tensor, real: Tensor) -> tuple[float, float]:
        """Train on z [N, latent_dim, 1, 1] and real [N, C, H, W]; returns the generator's and discriminator's loss."""
        real = real.contiguous(memory_format=self.memory_format)
        fake = self.generator(z)
        draws = torch.rand(2, len(real), 7)
        g_loss = self._cross_entropy(self._judge(fake, draws[1]), 1.0)
        self.adam_g.zero_grad()
        g_loss.backward(inputs=list(self.generator.parameters()))
        self.adam_g.step()
        judged = [self._judge(real, draws[0]), self._judge(fake.detach(), draws[1])]
        d_loss = (self._cross_entropy(judged[0], self.config.real_label) + self._cross_entropy(judged[1], 0.0)) / 2
        self.adam_d.zero_grad()
        d_loss.backward()
        self.adam_d.step()
        with torch.no_grad():
            for mean, value in zip(self.average, self._averaged(), strict=True):
                mean.lerp_(value, 1 - self.config.ema_decay)
        return g_loss.item(), d_loss.item()

    def _judge(self, images: Tensor, draws: Tensor) -> Tensor:
        return self.discriminator(diff_augment(images, draws) if self.config.diff_augment else images)

    def _averaged(self) -> list[Tensor]:
        return [value for value in self.generator.state_dict().values() if value.is_floating_point()]

    def _cross_entropy(self, logits: Tensor, label: float) -> Tensor:
        logits = logits.reshape(-1, 1)
        labels = torch.full_like(logits, label)
        if self.config.loss == "bce":
            return F.binary_cross_entropy(torch.sigmoid(logits), labels)
        return F.binary_cross_entropy_with_logits(logits, labels)


def diff_augment(images: Tensor, draws: Tensor) -> Tensor:
    """DiffAugment of float32 [N, C, S, S] by uniform numbers [N, 7]: brightness to contrast, translation, cutout."""
    u, side = draws[:, :, None, None, None], images.shape[-1]
    images = images + (u[:, 0] - 0.5)
    grey = images.mean(1, keepdim=True)
    images = (images - grey) * (u[:, 1] * 2) + grey
    mean = images.mean((1, 2, 3), keepdim=True)
    images = (images - mean) * (u[:, 2] + 0.5) + mean
    places = torch.arange(side)
    reach, size = int(side * TRANSLATION + 0.5), int(side * CUTOUT + 0.5)
    offsets = (draws[:, 3:5] * (2 * reach + 1)).long() - reach
    rows, columns = ((places + offsets[:, i : i + 1]).clamp(0, side - 1) for i in (0, 1))
    images = images.gather(2, rows[:, None, :, None].expand_as(images))
    images = images.gather(3, columns[:, None, None, :].expand_as(images))
    corner = (draws[:, 5:7] * (side + 1 - size % 2)).long() - size // 2
    inside = [(places >= corner[:, i : i + 1]) & (places < corner[:, i : i + 1] + size) for i in (0, 1)]
    return images * (1 - (inside[0][:, None, :, None] & inside[1][:, None, None, :]).float())
