"""The reward: what a critic says of generated faces, as a term of the generator's loss.

The critic has learnt from people's grades (`critic_file`). The generator's loss gets weight * softplus(logit + 3): the
push is weak where a face is fine already. The adversarial loss has to stay in charge. A critic that is trained against
wears out, so another one, learnt from other graders, must judge the result.
"""

from pathlib import Path

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from avatar_training import device
from avatar_training.config import TrainConfig
from avatar_training.networks.feature_network import FrozenFeatures
from avatar_training.networks.generator import PIXEL_RANGE
from avatar_training.objective.critic_file import GREY, CriticError, CriticFile, digest

MARGIN = 3.0
"""How far below "as likely broken as not" a logit has to be before the push becomes weak."""

SHIFT = 1 / 16
"""Largest shift of an image before the critic sees it, as a part of the side."""

VIEW_DRAWS = 3
"""Random numbers an image needs: two for its shift and one for its mirror."""


class Reward(nn.Cell):
    """Generated images to the logits of a critic: higher is more broken.

    Args:
        critic: the critic's .npz file.
        network: the ONNX classifier whose activations it weighs.
        image_size: height and width of the images.
        channels: 1 for grey, 3 for RGB.

    Input: float32 [N, channels, image_size, image_size] in PIXEL_RANGE, and random numbers of [0, 1), [N, VIEW_DRAWS].
    Output: float32 [N]. Each image is randomly shifted by up to SHIFT and mirrored, so that the generator cannot please
    the critic by patterns at fixed places: A. Athalye et al., "Synthesizing Robust Adversarial Examples", ICML 2018,
    section 2.

    Raises:
        CriticError: the critic cannot be read or does not fit the classifier.
        FeatureNetworkError: the classifier cannot be read.
    """

    def __init__(self, critic: Path, network: Path, image_size: int, channels: int) -> None:
        super().__init__()
        file = CriticFile.read(critic)
        self.features = FrozenFeatures(network, file.tensors, grey=True)
        size = file.input_size
        (low, high), (black, white) = PIXEL_RANGE, file.pixel_range
        self.scale = (white - black) / (high - low)
        self.shift = black - low * self.scale
        self.bias = file.bias
        self.grey = Tensor(np.array(GREY if channels == 3 else (1.0,), np.float32).reshape(1, channels, 1, 1))
        self.resize = Resize(image_size, size)
        shapes = [value.shape for value in self.features(Tensor(np.zeros((1, 1, size, size), np.float32)))]
        if file.network_sha256 != digest(network):
            raise CriticError(f"{critic} was learnt with another classifier than {network}; give the one it names")
        self.weights = tuple(Tensor(part) for part in file.spread(shapes))

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


class Resize(nn.Cell):
    """The matrices that resize a row or column of `size` pixels to `wanted`, shifted and mirrored.

    Bilinear with half-pixel centres, borders replicated; antialiased where images get smaller.
    """

    def __init__(self, size: int, wanted: int) -> None:
        super().__init__()
        self.last, self.support = size - 1, max(1.0, size / wanted)
        self.places = Tensor(((np.arange(wanted) + 0.5) * size / wanted - 0.5).astype(np.float32))
        self.pixels = Tensor(np.arange(size, dtype=np.float32))

    def construct(self, offsets: Tensor, mirrored: Tensor) -> Tensor:
        """Offsets in pixels and 1 for mirrored or 0, [N] each -> float32 [N, wanted, size]."""
        places = self.places + ops.expand_dims(offsets, 1)
        turned = ops.expand_dims(mirrored, 1)
        places = ops.clamp(places * (1 - turned) + (self.last - places) * turned, 0, self.last)
        weights = ops.relu(1 - ops.abs(ops.expand_dims(places, 2) - self.pixels) / self.support)
        return weights / weights.sum(axis=2, keepdims=True)


def load_reward(config: TrainConfig, mixed_precision: bool) -> Reward | None:
    """The reward of a run, None without a critic. Raises as Reward does."""
    if config.critic is None or config.critic_network is None:
        return None
    reward = Reward(Path(config.critic), Path(config.critic_network), config.image_size, config.channels)
    if mixed_precision:
        device.mixed_precision(reward)
    return reward


def penalty(logits: Tensor) -> Tensor:
    """softplus(logit + MARGIN), its mean over the images: float32 []."""
    x = logits + MARGIN
    return (ops.relu(x) + ops.log1p(ops.exp(-ops.abs(x)))).mean()
