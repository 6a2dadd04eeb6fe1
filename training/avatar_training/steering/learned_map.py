"""An affine map of latents that critics teach: it leads every latent to where the generator draws whole faces.

The generator stays as it is; the map comes before its first layer and costs nothing once exported. A. Jahanian, L.
Chai, P. Isola, "On the 'steerability' of generative adversarial networks", ICLR 2020, section 2, learn ways through
latent space by gradient descent through a frozen generator, too. Their target is an edited picture, here it is what
critics say (`objective.reward`). A map of few numbers can find faces that the generator draws already, but not the
blemishes that please a critic alone, so that critics wear out far less than where the whole generator learns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mindspore
import numpy as np
from mindspore import Tensor, nn, ops

from avatar_training import rng
from avatar_training.config import file_digest
from avatar_training.errors import TrainingError
from avatar_training.networks.generator import Generator
from avatar_training.objective.reward import VIEW_DRAWS, Reward, penalty
from avatar_training.run_folder import checkpoint
from avatar_training.run_folder.changed_pair import new_folder, write_pair
from avatar_training.steering.activations import Floats
from avatar_training.steering.critic import read_critic
from avatar_training.steering.direction import compose
from avatar_training.steering.drawing import Drawing

BATCH = 16
LEARNING_RATE = 2e-3
"""It falls to 0 over the second half of the steps."""

MARGIN = 4.0
"""How far below "as likely broken as not" a critic's logit has to be before its push becomes weak."""

DISTANCE = 0.01
"""Weight of the mean square of how far a latent moves."""

SPREAD = 0.05
"""Weight of how far the mapped latents are from being standard normal: the square of their mean, and of what their
deviations lack to 1."""

COLOUR = 2.0
"""Weight of the mean square of how much the colours of a face change, each the mean over a sixteenth of the picture."""

LAST = 20
"""What the critics say in the end is the mean over so many steps, each on new faces."""


@dataclass(frozen=True)
class Learnt:
    """What the critics said."""

    before: float
    """Their mean logit, how broken faces look, of the faces as they were."""
    after: float
    """That of the mapped ones."""


def learn_map(
    folder: Path,
    out: Path,
    critics: Sequence[Path],
    networks: Sequence[Path],
    weight: float = 0.5,
    steps: int = 400,
    seed: int = 0,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Learnt:
    """Write generator.ckpt, discriminator.ckpt and config.json of a pair that draws folder's faces after the map.

    A map that is there already stays, behind the new one.

    Args:
        folder: a run's or a trained pair's.
        out: a new folder.
        critics: as `avatar-train steer` writes them; best two, of different classifiers.
        networks: the classifier of each critic.
        weight: of the critics, against how far latents move and colours change.
        steps: of 16 faces each.
        seed: of the faces.
        on_step: called with the number of steps done and of all.

    Raises:
        TrainingError: out exists, there is no critic, or not one classifier for each.
        CheckpointError: the pair cannot be read.
        CriticError: a critic cannot be read.
        OutputError: out cannot be written.
    """
    if not critics or len(critics) != len(networks):
        raise TrainingError(f"{len(critics)} critics, {len(networks)} classifiers: give a classifier for each critic")
    with new_folder(out) as new:
        drawing = Drawing(folder)
        discriminator = checkpoint.read(folder / "discriminator.ckpt")
        lesson = Lesson(drawing, critics, networks, weight)
        digests = [file_digest(critic) for critic in critics]
        logits = []
        for step in range(steps):
            rate = LEARNING_RATE * min(1.0, (steps - step) / (0.5 * steps))
            logits.append(lesson.learn(*_draws(seed, step, drawing.config.latent_dim), rate))
            on_step(step + 1, steps)
        generator = drawing.with_map(*compose((drawing.weight, drawing.bias), lesson.map()))
        history = {
            "critics_sha256": digests,
            "weight": weight,
            "steps": steps,
            "seed": seed,
            "mapped_from": drawing.model,
        }
        write_pair(new, generator, discriminator, {**drawing.record, "learned_map": history})
    return Learnt(logits[0], float(np.mean(logits[-LAST:])))


def _draws(seed: int, step: int, latent_dim: int) -> tuple[Floats, Floats]:
    """Latents float32 [BATCH, latent_dim] and random numbers for the critics' views, [BATCH, VIEW_DRAWS]."""
    z = rng.latents(seed, step, BATCH, latent_dim)
    return z, rng.uniform(seed, rng.REWARD, step, (BATCH, VIEW_DRAWS))


class Lesson:
    """Teaches an affine map z + z A + a, which begins as the identity, before a generator that does not learn."""

    def __init__(self, drawing: Drawing, critics: Sequence[Path], networks: Sequence[Path], weight: float) -> None:
        config = drawing.config
        shape = (config.image_size, config.channels, config.latent_dim, config.ngf)
        refined, bounded = checkpoint.is_refined(drawing.arrays), checkpoint.is_bounded(drawing.arrays)
        self.generator = Generator(*shape, channels_last=True, latent_map=True, refined=refined, bounded=bounded)
        arrays = drawing.with_map(drawing.weight, drawing.bias)
        checkpoint.load_into(self.generator.get_parameters(), arrays, drawing.folder)
        self.generator.set_train(False)
        self.rewards = [
            Reward(read_critic(critic), network, config.image_size, config.channels)
            for critic, network in zip(critics, networks, strict=True)
        ]
        self.weight, self.latent_dim = weight, config.latent_dim
        self.colours = nn.AvgPool2d(config.image_size // 4, config.image_size // 4)
        self.change = nn.Dense(config.latent_dim, config.latent_dim, weight_init="zeros", bias_init="zeros")
        self.adam = nn.Adam(self.change.trainable_params(), LEARNING_RATE)
        self.gradients = mindspore.value_and_grad(self.loss, None, self.adam.parameters, has_aux=True)
        self.step = mindspore.jit(self._step)

    def map(self) -> tuple[Floats, Floats]:
        """The weight, float32 [latent_dim, latent_dim], and bias of the map: z @ weight.T + bias."""
        weight, bias = self.change.weight.asnumpy(), self.change.bias.asnumpy()
        return np.eye(self.latent_dim, dtype=np.float32) + weight, bias

    def learn(self, z: Floats, views: Floats, rate: float) -> float:
        """One step, for latents float32 [N, latent_dim]. Returns the critics' mean logit before it."""
        return float(self.step(Tensor(z), Tensor(views), Tensor(np.float32(rate))).asnumpy())

    def loss(self, z: Tensor, views: Tensor) -> tuple[Tensor, Tensor]:
        """What is minimised, and the critics' mean logit."""
        before = self.colours(self.draw(z))
        images = self.draw(z + self.change(z))
        push = logit = ops.zeros((), mindspore.float32)
        for reward in self.rewards:
            logits = reward(images, views)
            push = push + penalty(logits, MARGIN) / len(self.rewards)
            logit = logit + logits.mean() / len(self.rewards)
        weight, bias = self.change.weight, self.change.bias
        moved = ops.square(weight).sum() + ops.square(bias).sum()  # the mean over all latents
        deviations = ops.sqrt(ops.square(weight + ops.eye(self.latent_dim)).sum(axis=1))
        spread = ops.square(bias).sum() + ops.square(ops.relu(1 - deviations)).sum()
        colour = ops.square(self.colours(images) - before).mean()
        return self.weight * push + DISTANCE * moved + SPREAD * spread + COLOUR * colour, logit

    def draw(self, z: Tensor) -> Tensor:
        """Pictures for latents [N, latent_dim]."""
        return self.generator(z.reshape((-1, self.latent_dim, 1, 1)))

    def _step(self, z: Tensor, views: Tensor, rate: Tensor) -> Tensor:
        (_, logit), gradients = self.gradients(z, views)
        ops.assign(self.adam.learning_rate, rate)
        self.adam(gradients)
        return logit
