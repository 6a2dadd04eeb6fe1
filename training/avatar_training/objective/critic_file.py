"""A critic's file: what a trainer needs of a critic that `avatar-steer` has learnt from grades.

A critic is one linear map of the activations of a classifier, each averaged over a grid; its logit says how likely a
grader would call a face broken. Imports no MindSpore.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from avatar_runtime.errors import AvatarError
from avatar_training.config import TrainConfig

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


def digests(config: TrainConfig) -> dict[str, str] | None:
    """SHA-256 of the critic and of its classifier, None without a critic: what a resumed run must find unchanged.

    Raises CriticError if one of the files cannot be read.
    """
    if config.critic is None or config.critic_network is None:
        return None
    return {"sha256": digest(Path(config.critic)), "network_sha256": digest(Path(config.critic_network))}


def digest(path: Path) -> str:
    """The SHA-256 of a file. Raises CriticError if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as err:
        raise CriticError(f"cannot read {path}: {err.strerror or err}") from err
