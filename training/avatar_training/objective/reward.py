"""The reward: what a critic says of generated faces, as a term of the generator's loss.

The critic was trained on people's grades (`steering.critic`). The generator's loss gets weight * softplus(logit + 3):
the push is weak where a face is fine already. The adversarial loss has to stay in charge. A critic that is trained
against wears out, two of different classifiers more slowly, so another one, trained on other graders, must judge.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from avatar_training import device
from avatar_training.config import TrainConfig, file_digest
from avatar_training.errors import TrainingError
from avatar_training.networks.frozen_features import FrozenFeatures
from avatar_training.networks.generator import PIXEL_RANGE
from avatar_training.networks.resize import Resize
from avatar_training.steering.activations import GREY, INPUT_SIZE, POOL
from avatar_training.steering.activations import PIXEL_RANGE as CLASSIFIER_RANGE

if TYPE_CHECKING:
    from avatar_training.steering.critic import Critic

Array = npt.NDArray[np.float32]

MARGIN = 3.0
"""How far below "as likely broken as not" a logit has to be before the push becomes weak."""

SHIFT = 1 / 16
"""Largest shift of an image before the critic sees it, as a part of the side."""

VIEW_DRAWS = 3
"""Random numbers an image needs: two for its shift and one for its mirror."""


class Reward(nn.Cell):
    """Generated images to the logits of a critic, which weighs the activations of a network: higher is more broken.

    Input: float32 [N, channels, image_size, image_size] in PIXEL_RANGE, and random numbers of [0, 1), [N, VIEW_DRAWS].
    Output: float32 [N]. Each image is randomly shifted by up to SHIFT and mirrored, so that the generator cannot please
    the critic by patterns at fixed places: A. Athalye et al., "Synthesizing Robust Adversarial Examples", ICML 2018,
    section 2.

    Raises:
        TrainingError: the critic was trained with another classifier.
        FeatureNetworkError: the classifier cannot be read.
    """

    def __init__(self, critic: "Critic", network: Path, image_size: int, channels: int) -> None:
        super().__init__()
        if critic.network_sha256 != file_digest(network):
            raise TrainingError(f"the critic was trained with another classifier than {network}; pass that classifier")
        self.features = FrozenFeatures(network, critic.tensors, grey=True)
        (low, high), (black, white) = PIXEL_RANGE, CLASSIFIER_RANGE
        self.scale = (white - black) / (high - low)
        self.shift = black - low * self.scale
        self.bias = critic.bias
        self.grey = Tensor(np.array(GREY if channels == 3 else (1.0,), np.float32).reshape(1, channels, 1, 1))
        self.resize = Resize(image_size, INPUT_SIZE)
        shapes = self.features.shapes(1, INPUT_SIZE)
        self.weights = tuple(Tensor(part) for part in _spread(critic.weights, shapes))

    def construct(self, images: Tensor, draws: Tensor) -> Tensor:
        """[N, channels, S, S], [N, VIEW_DRAWS] -> [N]."""
        reach = SHIFT * images.shape[2]
        offsets = (draws[:, :2] * 2 - 1) * reach
        mirrored = (draws[:, 2] < 0.5).astype(mstype.float32)
        rows = self.resize(offsets[:, 0], ops.zeros_like(mirrored))  # [N, input_size, S]
        columns = self.resize(offsets[:, 1], mirrored)
        grey = (images * self.grey).sum(axis=1)  # [N, S, S]
        large = ops.matmul(ops.matmul(rows, grey), ops.transpose(columns, (0, 2, 1)))
        activations = self.features(ops.expand_dims(large * self.scale + self.shift, 1))
        logits = self.bias
        for i in range(len(self.weights)):
            flat = activations[i].astype(mstype.float32).reshape((images.shape[0], -1))
            logits = logits + ops.matmul(flat, self.weights[i]).reshape(-1)
        return logits


def load_rewards(config: TrainConfig, mixed_precision: bool) -> nn.CellList:
    """The reward of each critic of a run. Raises CriticError, or as Reward does."""
    rewards: list[nn.Cell] = []
    for path, network in zip(config.critic, config.critic_network, strict=True):
        from avatar_training.steering.critic import read_critic  # It imports scikit-learn, which takes a second.

        rewards.append(Reward(read_critic(Path(path)), Path(network), config.image_size, config.channels))
        if mixed_precision:
            device.mixed_precision(rewards[-1])
    return nn.CellList(rewards)


def penalty(logits: Tensor, margin: float = MARGIN) -> Tensor:
    """softplus(logit + margin), its mean over the images: float32 []."""
    x = logits + margin
    return (ops.relu(x) + ops.log1p(ops.exp(-ops.abs(x)))).mean()


def _spread(weights: Array, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Weights of averaged activations as those of all activations: per shape [1, C, S, S] float32 [C * S * S, 1]."""
    parts, taken = [], 0
    for _, width, side, _ in shapes:
        grid = weights[taken : taken + width * POOL * POOL].reshape(width, POOL, POOL)
        cell = side // POOL
        spread = grid.repeat(cell, axis=1).repeat(cell, axis=2) / np.float32(cell * cell)
        parts.append(spread.reshape(-1, 1))
        taken += width * POOL * POOL
    return parts
