"""The reward: what a critic that has learnt from people's grades says of generated faces, as part of the loss.

A critic is one linear map of the activations of a frozen classifier, each averaged over a 4x4 grid; see `steering`. Its
logit says how likely a grader would call the face broken. The generator's loss gets weight * softplus(logit + 3), which
goes on pushing where a face is fine already, if gently. The adversarial loss has to stay in charge: a critic that is
optimised against wears out, so another one, from other graders, must judge what came of it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from avatar_runtime.errors import AvatarError
from avatar_training.config import TrainConfig
from avatar_training.networks.feature_network import FrozenFeatures
from avatar_training.networks.generator import PIXEL_RANGE

MARGIN = 3.0
"""How far below "as likely broken as not" a logit has to be before the push becomes weak."""

SHIFT = 1 / 16
"""Largest shift of an image before the critic sees it, as a part of the side."""

DRAWS = 3
"""Random numbers an image needs."""

GREY = (0.299, 0.587, 0.114)
"""The weights of red, green and blue in grey: ITU-R BT.601, as critics have it."""

Array = npt.NDArray[np.float32]


class CriticError(AvatarError):
    """A file holds no critic, or one that does not fit its classifier."""


@dataclass(frozen=True)
class CriticFile:
    """A critic as `steering` writes it."""

    weights: Array
    """Of the pooled activations, float32 [F]: for each tensor in turn [C, pool, pool], flattened."""
    bias: float
    """What is added to the weighted sum."""
    tensors: tuple[str, ...]
    """The names of the activations in the classifier."""
    pool: int
    """Rows and columns of the grid over which activations are averaged."""
    input_size: int
    """Height and width of the classifier's input."""
    pixel_range: tuple[float, float]
    """What black and white are to the classifier."""
    network_sha256: str
    """The digest of the classifier's file."""

    @classmethod
    def read(cls, path: Path) -> "CriticFile":
        """Read an .npz file. Raises CriticError if it is none, or holds no critic of grey images."""
        try:
            with np.load(path, allow_pickle=False) as file:
                critic = cls(
                    np.asarray(file["weights"], np.float32).reshape(-1),
                    float(file["bias"]),
                    tuple(str(name) for name in np.atleast_1d(file["tensors"])),
                    int(file["pool"]),
                    int(file["input_size"]),
                    (float(file["pixel_range"][0]), float(file["pixel_range"][1])),
                    str(file["network_sha256"]),
                )
                grey = bool(file["grey"])
        except OSError as err:
            raise CriticError(f"cannot read the critic {path}: {err.strerror or err}") from err
        except (ValueError, KeyError, IndexError, TypeError, EOFError) as err:
            raise CriticError(f"{path} holds no critic ({err}); make one with avatar-steer") from err
        sound = np.isfinite(critic.weights).all() and np.isfinite(critic.bias) and critic.tensors
        if not sound or critic.pool < 1 or critic.input_size < 1 or not grey:
            raise CriticError(f"{path} holds no usable critic of grey images; make one with avatar-steer")
        return critic

    def spread(self, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
        """The weights of activations that are not averaged: of each shape [1, C, H, W] float32 [C * H * W, 1].

        Raises CriticError if there are more or fewer than the shapes want, or the grid does not divide H and W.
        """
        pool, parts, taken = self.pool, [], 0
        counts = [shape[1] * pool * pool for shape in shapes]
        if sum(counts) != len(self.weights) or any(shape[2] % pool or shape[3] % pool for shape in shapes):
            raise CriticError(
                f"a critic of {len(self.weights)} weights does not fit activations of {' and '.join(map(str, shapes))} "
                f"averaged over {pool} x {pool} cells"
            )
        for (_, width, rows, columns), count in zip(shapes, counts, strict=True):
            grid = self.weights[taken : taken + count].reshape(width, pool, pool)
            spread = grid.repeat(rows // pool, axis=1).repeat(columns // pool, axis=2)
            parts.append((spread * np.float32(pool * pool / (rows * columns))).reshape(-1, 1))
            taken += count
        return parts


class Reward(nn.Cell):
    """Generated images to the logits of a critic: higher is more broken.

    Args:
        critic: the critic's .npz file.
        network: the ONNX classifier whose activations it weighs.
        image_size: height and width of the images.
        channels: 1 for grey, 3 for RGB.

    Input: float32 [N, channels, image_size, image_size] in PIXEL_RANGE and random numbers [N, DRAWS] of [0, 1). Output:
    float32 [N]. Each image is shifted by up to SHIFT and mirrored or not: what pleases the critic has to please it
    wherever it lies (A. Athalye et al., "Synthesizing Robust Adversarial Examples", ICML 2018, section 2), or a fine
    grid soon covers the faces.

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
        """[N, channels, S, S], [N, DRAWS] -> [N]."""
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


def digests(config: TrainConfig) -> dict[str, str] | None:
    """SHA-256 of the critic and of its classifier, None without a critic: what a resumed run must find unchanged.

    Raises CriticError if one of the files cannot be read.
    """
    if config.critic is None or config.critic_network is None:
        return None
    return {"sha256": digest(Path(config.critic)), "network_sha256": digest(Path(config.critic_network))}


def penalty(logits: Tensor) -> Tensor:
    """softplus(logit + MARGIN), its mean over the images: float32 []."""
    x = logits + MARGIN
    return (ops.relu(x) + ops.log1p(ops.exp(-ops.abs(x)))).mean()


def digest(path: Path) -> str:
    """The SHA-256 of a file. Raises CriticError if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as err:
        raise CriticError(f"cannot read {path}: {err.strerror or err}") from err
