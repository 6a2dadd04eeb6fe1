"""One training step, from top to bottom in the order in which it happens.

I. Goodfellow et al., "Generative Adversarial Networks", 2014, algorithm 1, in the order of MindSpore's DCGAN tutorial:
the generator learns first, then the discriminator learns from the same generated images.
"""

import mindspore
import numpy as np
import numpy.typing as npt
from mindspore import Parameter, Tensor, nn, ops

from avatar_training import rng
from avatar_training.distributed.worker_group import mean_over_workers
from avatar_training.networks import moving_average
from avatar_training.networks.discriminator import spectral_convolutions
from avatar_training.networks.gan import Gan
from avatar_training.objective.augmentation import DRAWS, MIRRORED_TRANSLATION, TRANSLATION, diff_augment
from avatar_training.objective.losses import ACTIVATION_WEIGHT, discriminator_loss, generator_loss
from avatar_training.objective.reward import VIEW_DRAWS, load_rewards, penalty
from avatar_training.optimizer import Optimizer


class TrainingStep(nn.Cell):
    """A GAN and the two optimizers that train it. `run` does one step; `construct` and below are one compiled graph."""

    def __init__(self, gan: Gan) -> None:
        super().__init__(auto_prefix=False)
        self.gan, self.config, self.workers = gan, gan.config, gan.workers.size
        self.generator, self.discriminator = gan.generator, gan.discriminator
        g_weights = gan.generator.trainable_params()
        d_weights = [parameter for parameter in gan.discriminator_parameters() if parameter.requires_grad]
        self.g_optimizer = Optimizer(g_weights, "g", gan.config, self.workers, gan.amp)
        self.d_optimizer = Optimizer(d_weights, "d", gan.config, self.workers, gan.amp)
        self.g_gradients = mindspore.value_and_grad(self.g_objective, None, self.g_optimizer.weights, has_aux=True)
        self.d_gradients = mindspore.value_and_grad(self.d_objective, None, self.d_optimizer.weights, has_aux=True)
        self.heads = gan.heads
        self.spectral_convolutions = spectral_convolutions(gan.discriminator)
        if gan.heads:
            self.spectral_convolutions += spectral_convolutions(gan.heads)
        self.averaged = gan.averaged
        self.loss, self.real_label, self.augment = gan.config.loss, gan.config.real_label, gan.config.diff_augment
        self.sideways = MIRRORED_TRANSLATION if gan.config.mirror else TRANSLATION
        self.activation_limit = gan.config.activation_limit
        self.rewards = load_rewards(gan.config, gan.amp)
        self.reward_weight = gan.config.reward_weight
        self.reward_every = gan.config.batch_size // gan.config.reward_images

    def run(self, step: int, real: npt.NDArray[np.float32], learning_rate: float) -> tuple[float, float, float]:
        """Train on one batch; the losses of the generator and the discriminator, and the critics' mean logit or 0.

        Every random number follows from the seed and the step alone, for the whole batch, whichever worker computes it.

        Args:
            step: number of steps done before this one.
            real: this worker's rows of the batch of real images, float32 [N, C, H, W] in [-1, 1].
            learning_rate: that of both optimizers.
        """
        # Sample the latents and the augmentations of the whole batch, and keep this worker's rows.
        config, size, seed = self.config, self.config.batch_size, self.config.seed_at(step)
        rows = self.gan.workers.rows(size)
        z = rng.latents(seed, step, size, config.latent_dim, config.min_truncation)[rows, :, None, None]
        u_real, u_fake = (rng.uniform(seed, p, step, (size, DRAWS))[rows] for p in (rng.AUGMENT_REAL, rng.AUGMENT_FAKE))
        u_view = rng.uniform(seed, rng.REWARD, step, (size, VIEW_DRAWS))[rows]
        decay = moving_average.decay_at(config.ema_decay, step)
        results = self(*map(Tensor, (z, real, u_real, u_fake, u_view, np.float32(learning_rate), decay)))
        g_loss, d_loss, logit = (float(result.asnumpy()) for result in results)
        return g_loss, d_loss, logit

    def construct(self, z: Tensor, real: Tensor, u_real: Tensor, u_fake: Tensor, u_view: Tensor, learning_rate: Tensor,
                  decay: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Both networks learn from z [N, latent_dim, 1, 1] and real [N, C, H, W]; u_* [N, …] move and colour images."""
        for convolution in self.spectral_convolutions:
            convolution.iterate()
        # The generator learns.
        (_, g_loss, logit, fake, *fake_seen), gradients = self.g_gradients(z, u_fake, u_view)
        self.g_optimizer.step(gradients, learning_rate)
        # The discriminator learns from the images that the generator has just drawn.
        (_, d_loss), gradients = self.d_gradients(real, u_real, fake, fake_seen)
        self.d_optimizer.step(gradients, learning_rate)
        moving_average.follow(self.averaged, decay)
        return mean_over_workers((g_loss, d_loss, logit), self.workers)

    def g_objective(self, z: Tensor, u_fake: Tensor, u_view: Tensor) -> tuple[Tensor, ...]:
        """What the generator minimises (scaled for float16), its adversarial loss, the critics' logit, the augmented
        images, and what the heads see of those."""
        limit = self.activation_limit
        fake, excess = self.generator.with_excess(z, limit) if limit else (self.generator(z), 0.0)
        fake = fake.astype(mindspore.float32)
        augmented, seen = self.augmented(fake, u_fake), ()
        g_loss = generator_loss(self.judge(augmented), self.loss)
        if self.heads is not None:
            seen = self.heads.see(augmented)
            g_loss += generator_loss(self.heads.judge(seen), "hinge")
        total, logit = g_loss + ACTIVATION_WEIGHT * excess, ops.zeros((), mindspore.float32)
        for i in range(len(self.rewards)):  # each critic sees other images
            first, count = i % self.reward_every, len(self.rewards)
            logits = self.rewards[i](fake[first :: self.reward_every], u_view[first :: self.reward_every])
            total, logit = total + self.reward_weight / count * penalty(logits), logit + logits.mean() / count
        return self.g_optimizer.scale(total), g_loss, logit, augmented, *seen

    def d_objective(
        self, real: Tensor, u_real: Tensor, fake: Tensor, fake_seen: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        """What the discriminator minimises (scaled for float16), and its loss. fake is augmented already."""
        real = self.augmented(real, u_real)
        d_loss = discriminator_loss(self.judge(real), self.judge(fake), self.loss, self.real_label)
        if self.heads is not None:
            seen = self.heads.see(real)
            both: tuple[Tensor, ...] = ()
            for i in range(len(fake_seen)):
                both += (ops.concat((seen[i], fake_seen[i])),)
            logits = self.heads.judge(both)  # in one pass: there is no batch norm
            d_loss += discriminator_loss(logits[: len(real)], logits[len(real) :], "hinge", 1.0)
        return self.d_optimizer.scale(d_loss), d_loss

    def augmented(self, images: Tensor, uniform: Tensor) -> Tensor:
        """The images as the discriminators see them."""
        return diff_augment(images, uniform, self.sideways) if self.augment else images

    def judge(self, images: Tensor) -> Tensor:
        """The discriminator's logits [N, 1]."""
        return self.discriminator(images).astype(mindspore.float32)

    def state(self) -> dict[str, Parameter]:
        """Every parameter that a resumed run needs, by its name."""
        parameters = [*self.gan.parameters(), *self.g_optimizer.parameters(), *self.d_optimizer.parameters()]
        return {parameter.name: parameter for parameter in parameters}
