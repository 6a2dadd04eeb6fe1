"""The networks, their optimisers and the one compiled step that moves them."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
import numpy.typing as npt
from mindspore import Parameter, Tensor, nn, ops

from avatar_runtime.imaging.arrays import UInt8, from_network
from avatar_runtime.latents import standard_normal
from avatar_training import device, rng
from avatar_training.config import TrainConfig
from avatar_training.distributed.team import ALONE, SyncBatchNorm2d, Team, mean_over
from avatar_training.networks.discriminator import Discriminator
from avatar_training.networks.generator import PIXEL_RANGE, Generator
from avatar_training.objective.augmentation import DRAWS, diff_augment
from avatar_training.objective.losses import discriminator_loss, generator_loss
from avatar_training.objective.reward import DRAWS as REWARD_DRAWS
from avatar_training.objective.reward import Reward, penalty
from avatar_training.optimizer_step import Update
from avatar_training.run_folder import checkpoint
from avatar_training.run_folder.divergence import Diverged

EXCESS_WEIGHT = 1.0
"""What the squares of activations beyond the limit, summed over an image, count in the generator's loss. A hundredth of
it does nothing, a tenth little in 1,000 steps."""

_EMA = "ema."


class Gan:
    """A generator, a discriminator, an Adam for each, and the moving average of the generator.

    The average is what is previewed, saved and exported; without one (ema_decay 0) it equals the generator. In a team
    every worker has a Gan of its own, and they stay equal. With amp, steps are computed in mixed precision.
    """

    def __init__(self, config: TrainConfig, team: Team = ALONE, amp: bool = False) -> None:
        self.config, self.team = config, team
        shape = (config.image_size, config.channels)
        # A team's batch norm and mixed precision are MindSpore's layers' affair.
        channels_last = mindspore.get_context("device_target") == "CPU" and team.size == 1 and not amp
        norm = partial(SyncBatchNorm2d, workers=team.size) if team.size > 1 else None
        self.generator = Generator(*shape, config.latent_dim, config.ngf, norm, channels_last)
        self.discriminator = Discriminator(*shape, config.ndf, config.spectral_norm, norm, channels_last)
        self.average = Generator(*shape, config.latent_dim, config.ngf, channels_last=channels_last)
        self.average.update_parameters_name(_EMA)
        _draw_weights([*self.generator.get_parameters(), *self.discriminator.get_parameters()], config.seed)
        self._begin_average()
        self.reward: Reward | None = None
        if config.critic and config.critic_network:
            self.reward = Reward(Path(config.critic), Path(config.critic_network), *shape)
        self.updates = [
            Update(_adam(network, f"adam_{which}.", config), team.size, device.loss_scaler(which) if amp else None)
            for network, which in ((self.generator, "g"), (self.discriminator, "d"))
        ]
        if amp:
            device.mixed_precision(self.generator)
            device.mixed_precision(self.discriminator)
            if self.reward:
                device.mixed_precision(self.reward)
        self.generator.set_train()
        self.discriminator.set_train()
        self.average.set_train(False)
        self._step = _compile_step(self)

    def begin_from(self, folder: Path) -> None:
        """Before the first step, take the weights of the trained pair in a folder.

        Raises CheckpointError if there is none (see `checkpoint.read_pair`), or one of other shapes.
        """
        parameters = [*self.generator.get_parameters(), *self.discriminator.get_parameters()]
        checkpoint.load_into(parameters, checkpoint.read_pair(folder), folder)
        self._begin_average()

    def step(
        self, step: int, real: npt.NDArray[np.float32], learning_rate: float | None = None
    ) -> tuple[float, float, float]:
        """Train on this worker's rows of a real batch, float32 [N, C, H, W].

        Returns the generator's and the discriminator's loss and the critic's mean logit (0 without a critic), each of
        the whole batch.

        Everything random comes from the seed and the step's number, for the whole batch, whoever computes it. The
        learning rate is the configuration's, or the one given.
        """
        config, size, seed = self.config, self.config.batch_size, self.config.seed_at(step)
        rows = self.team.rows(size)
        z = rng.latents(seed, step, size, config.latent_dim, config.min_truncation)[rows, :, None, None]
        rate = config.learning_rate if learning_rate is None else learning_rate
        inputs: list[Any] = [z, real, np.float32(rate), np.float32(min(config.ema_decay, (1 + step) / (10 + step)))]
        for purpose in (rng.AUGMENT_REAL, rng.AUGMENT_FAKE) if config.diff_augment else ():
            inputs.append(rng.uniform(seed, purpose, step, (size, DRAWS))[rows])
        if self.reward is not None:
            shifts = rng.uniform(seed, rng.REWARD, step, (size, REWARD_DRAWS))[rows]
            inputs += [None] * (6 - len(inputs)) + [shifts[:: size // config.reward_images]]
        g_loss, d_loss, logit = self._step(*(None if value is None else Tensor(value) for value in inputs))
        return float(g_loss.asnumpy()), float(d_loss.asnumpy()), float(logit.asnumpy())

    def _begin_average(self) -> None:
        for mean, parameter in zip(self.average.get_parameters(), self.generator.get_parameters(), strict=True):
            mean.set_data(Tensor(parameter.asnumpy().copy()))  # set_data(parameter) would share its memory

    def draw(self, z: npt.NDArray[np.float32]) -> UInt8:
        """Images of the averaged generator for z float32 [N, latent_dim]: uint8 [N, H, W, C]. Raises Diverged."""
        self.team.hold()  # only leaders draw, and it may take long
        images = self.average(Tensor(z[..., None, None])).asnumpy()
        if not np.isfinite(images).all():
            raise Diverged("the generator draws images that are not finite")
        return from_network(images, PIXEL_RANGE)

    def state(self) -> dict[str, Parameter]:
        """Every parameter that a resumed run needs, by a name of its own."""
        networks = [p for cell in (self.generator, self.discriminator, self.average) for p in cell.get_parameters()]
        return {p.name: p for p in [*networks, *(p for update in self.updates for p in update.parameters())]}

    def averaged_generator(self, step: int) -> Mapping[str, Parameter | Tensor]:
        """The averaged generator under the names of a generator, with the range of its pixels and its age in steps."""
        arrays = {parameter.name.removeprefix(_EMA): parameter for parameter in self.average.get_parameters()}
        return {**arrays, "pixel_range": Tensor(np.array(PIXEL_RANGE, np.float32)), "steps": Tensor(np.int64(step))}


def _compile_step(gan: Gan) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    generator, discriminator = gan.generator, gan.discriminator
    update_g, update_d, workers = *gan.updates, gan.team.size
    loss, real_label, augmented = gan.config.loss, gan.config.real_label, gan.config.diff_augment
    limit = gan.config.activation_limit
    reward, reward_weight = gan.reward, gan.config.reward_weight
    every = gan.config.batch_size // gan.config.reward_images
    convolutions = discriminator.spectral_convolutions()
    averaged = list(zip(gan.average.get_parameters(), generator.get_parameters(), strict=True))

    def judge(images: Tensor, uniform: Tensor | None) -> Tensor:
        return discriminator(diff_augment(images, uniform) if augmented else images).astype(mindspore.float32)

    def generator_forward(
        z: Tensor, fake_uniform: Tensor | None, shifts: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        fake, excess = generator.with_excess(z, limit) if limit else (generator(z), 0.0)
        fake = fake.astype(mindspore.float32)
        g_loss = generator_loss(judge(fake, fake_uniform), loss)
        wanted, logit = g_loss + EXCESS_WEIGHT * excess, ops.zeros((), mindspore.float32)
        if reward is not None:
            logits = reward(fake[::every], shifts)
            wanted, logit = wanted + reward_weight * penalty(logits), logits.mean()
        return update_g.scale(wanted), g_loss, fake, logit

    def discriminator_forward(
        real: Tensor, fake: Tensor, real_uniform: Tensor | None, fake_uniform: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        d_loss = discriminator_loss(judge(real, real_uniform), judge(fake, fake_uniform), loss, real_label)
        return update_d.scale(d_loss), d_loss

    generator_gradient = mindspore.value_and_grad(generator_forward, None, update_g.adam.parameters, has_aux=True)
    discriminator_gradient = mindspore.value_and_grad(
        discriminator_forward, None, update_d.adam.parameters, has_aux=True
    )

    @mindspore.jit
    def step(
        z: Tensor,
        real: Tensor,
        rate: Tensor,
        decay: Tensor,
        real_uniform: Tensor | None = None,
        fake_uniform: Tensor | None = None,
        shifts: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The tutorial's order: the generator learns first, then the discriminator from the images it has just seen."""
        for convolution in convolutions:
            convolution.iterate()
        (_, g_loss, fake, logit), gradients = generator_gradient(z, fake_uniform, shifts)
        update_g.apply(gradients, rate)
        (_, d_loss), gradients = discriminator_gradient(real, fake, real_uniform, fake_uniform)
        update_d.apply(gradients, rate)
        for mean, parameter in averaged:
            ops.assign(mean, mean * decay + parameter * (1 - decay))
        if workers > 1:
            g_loss, d_loss, logit = mean_over((g_loss, d_loss, logit), workers)
        return g_loss, d_loss, logit

    return step  # type: ignore[no-any-return]  # ms.jit is untyped


def _adam(network: nn.Cell, prefix: str, config: TrainConfig) -> nn.Cell:
    weights = network.trainable_params()
    adam = nn.Adam(weights, config.learning_rate, beta1=config.beta1, beta2=config.beta2)
    for parameter in adam.get_parameters():
        if not any(parameter is weight for weight in weights):
            parameter.name = prefix + parameter.name  # both optimisers have a beta1_power: graphs need unique names
    return adam


def _draw_weights(parameters: list[Parameter], seed: int) -> None:
    """The initialisation of `networks`, from the run's own seed instead of MindSpore's global one."""
    for i, parameter in enumerate(parameters):
        kind = parameter.name.rsplit(".", 1)[-1]
        mean, sigma = {"weight": (0, 0.02), "gamma": (1, 0.02), "u": (0, 1), "v": (0, 1)}.get(kind, (0, 0))
        if sigma:
            words = rng.words(seed, rng.WEIGHTS, i, parameter.size)
            drawn = np.float32(mean) + np.float32(sigma) * standard_normal(words)
            parameter.set_data(Tensor(drawn.reshape(parameter.shape)))
