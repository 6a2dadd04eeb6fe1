"""The three networks of a run, built and given their first weights."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import mindspore
import numpy as np
import numpy.typing as npt
from mindspore import Parameter, Tensor

from avatar_runtime.imaging.arrays import UInt8, from_network
from avatar_runtime.latents import standard_normal
from avatar_training import device, rng
from avatar_training.config import TrainConfig
from avatar_training.distributed.sync_batch_norm import SyncBatchNorm2d
from avatar_training.distributed.worker_group import SINGLE_WORKER, WorkerGroup
from avatar_training.errors import Diverged
from avatar_training.networks.discriminator import Discriminator
from avatar_training.networks.feature_heads import FROZEN, FeatureHeads
from avatar_training.networks.generator import PIXEL_RANGE, Generator
from avatar_training.networks.moving_average import reset

_AVERAGE_PREFIX = "ema."


class Gan:
    """A generator, a discriminator, and the moving average of the generator, which is what previews and exports show.

    Args:
        config: sizes of the networks, and the seed of their first weights. With ema_decay 0 the average equals the
            generator.
        workers: the worker group; every worker has a Gan of its own, and all stay equal.
        amp: compute in mixed precision.
    """

    def __init__(self, config: TrainConfig, workers: WorkerGroup = SINGLE_WORKER, amp: bool = False) -> None:
        self.config, self.workers, self.amp = config, workers, amp
        shape = (config.image_size, config.channels)
        # The layers for a CPU know neither several workers nor mixed precision.
        channels_last = mindspore.get_context("device_target") == "CPU" and workers.size == 1 and not amp
        norm = partial(SyncBatchNorm2d, workers=workers.size) if workers.size > 1 else None
        make = partial(
            Generator,
            *(*shape, config.latent_dim, config.ngf),
            channels_last=channels_last,
            refined=config.generator == "refined",
            bounded=config.bounded,
        )
        self.generator = make(norm=norm)
        mirror, heads = config.mirror, config.feature_heads
        self.discriminator = Discriminator(*shape, config.ndf, config.spectral_norm, norm, channels_last, mirror)
        self.heads = FeatureHeads(Path(heads), *shape, channels_last, mirror) if heads else None
        self.average = make()
        self.average.update_parameters_name(_AVERAGE_PREFIX)
        both = zip(self.average.get_parameters(), self.generator.get_parameters(), strict=True)
        self.averaged = [pair for pair in both if "activation_bound" not in pair[0].name]
        """Each parameter of the average that changes, with the generator's."""
        _draw_weights(self.trained_parameters(), config.seed)
        reset(self.averaged)
        if amp:
            if self.heads:
                device.mixed_precision(self.heads)
            device.mixed_precision(self.generator)
            device.mixed_precision(self.discriminator)
        self.generator.set_train()
        self.discriminator.set_train()
        if self.heads:
            self.heads.set_train()
        self.average.set_train(False)

    def trained_parameters(self) -> list[Parameter]:
        """The parameters of the generator and the discriminators."""
        return [*self.generator.get_parameters(), *self.discriminator_parameters()]

    def discriminator_parameters(self) -> list[Parameter]:
        """The parameters of the discriminator and the feature heads, without the classifier's."""
        heads = self.heads.get_parameters() if self.heads else ()
        return [*self.discriminator.get_parameters(), *(p for p in heads if not p.name.startswith(FROZEN))]

    def parameters(self) -> list[Parameter]:
        """The parameters of all three networks."""
        return [*self.trained_parameters(), *self.average.get_parameters()]

    def draw(self, z: npt.NDArray[np.float32]) -> UInt8:
        """Draw latents, float32 [N, latent_dim], with the averaged generator: images uint8 [N, H, W, C].

        Raises Diverged if a pixel is not finite.
        """
        self.workers.heartbeat()  # only the leader draws, and it may take long
        images = self.average(Tensor(z[..., None, None])).asnumpy()
        if not np.isfinite(images).all():
            raise Diverged("the generator draws images that are not finite")
        return from_network(images, PIXEL_RANGE)

    def averaged_generator(self, step: int) -> Mapping[str, Parameter | Tensor]:
        """The arrays of generator.ckpt: the averaged generator's weights, the pixel range and the number of steps."""
        arrays = {p.name.removeprefix(_AVERAGE_PREFIX): p for p in self.average.get_parameters()}
        return {**arrays, "pixel_range": Tensor(np.array(PIXEL_RANGE, np.float32)), "steps": Tensor(np.int64(step))}


def _draw_weights(parameters: list[Parameter], seed: int) -> None:
    """Draw the first weights from the run's seed, not from MindSpore's global one, with the spreads of `networks`."""
    for i, parameter in enumerate(parameters):
        if not parameter.asnumpy().any():  # what begins at zero: biases, and the last layers of residuals
            continue
        kind = parameter.name.rsplit(".", 1)[-1]
        mean, sigma = {"weight": (0, 0.02), "gamma": (1, 0.02), "u": (0, 1), "v": (0, 1)}.get(kind, (0, 0))
        if kind == "weight" and parameter.name.startswith("across_"):  # a mixture, in which values keep their spread
            sigma = (parameter.shape[0] / parameter.size) ** 0.5
        if sigma:
            normal = standard_normal(rng.words(seed, rng.WEIGHTS, i, parameter.size))
            weights = np.float32(mean) + np.float32(sigma) * normal
            parameter.set_data(Tensor(weights.reshape(parameter.shape)))
