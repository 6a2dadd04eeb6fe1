"""The direction of latent space along which faces break, and the map of latents that leads away from it.

Y. Shen, J. Gu, X. Tang, B. Zhou, "Interpreting the Latent Space of GANs for Semantic Face Editing", CVPR 2020
(InterFaceGAN), section 2: an attribute of faces is close to linear in z. They moved each z along the normal of the
attribute's plane; here each z is moved to the same place on it, which is an affine map of z.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_score

from avatar_runtime.errors import AvatarError
from avatar_training.steering.activations import Floats

PENALTIES = (1.0, 10.0, 100.0, 1000.0)
MIN_R2 = 0.1
"""If a direction explains less of the score, moving along it changes little but the faces' variety."""


class DirectionError(AvatarError):
    """No direction of latent space decides the score."""


@dataclass(frozen=True)
class Direction:
    """A direction towards whole faces."""

    v: Floats
    """float32 [latent_dim], of length 1."""
    r2: float
    """The part of the score's variance that z·v explains, on latents left out."""


def find_direction(z: Floats, logits: npt.NDArray[np.float64]) -> Direction:
    """The direction in which the critic's scores fall fastest, by ridge regression.

    Takes standard normal latents [N, latent_dim], and how broken the critic finds each face, [N]. Raises
    DirectionError if the score hardly depends on any direction (R2 below 0.1).
    """
    folds = KFold(5, shuffle=True, random_state=0)
    r2 = float(np.mean(cross_val_score(RidgeCV(PENALTIES), z, logits, cv=folds, scoring="r2")))
    if r2 < MIN_R2:
        raise DirectionError(
            f"no direction of latent space decides whether a face is whole (R2 {r2:.2f}, at least {MIN_R2} needed): "
            "draw more faces, or train on before steering"
        )
    towards_whole = -RidgeCV(PENALTIES).fit(z, logits).coef_
    return Direction((towards_whole / np.linalg.norm(towards_whole)).astype(np.float32), r2)


def affine_map(v: Floats, strength: float) -> tuple[Floats, Floats]:
    """The map z -> z + (strength - z·v) v, which sets z·v to strength and leaves all that is at right angles to v.

    Args:
        v: float32 [latent_dim], of length 1.
        strength: How far towards whole faces, in standard deviations of z·v.

    Returns:
        weight float32 [latent_dim, latent_dim] and bias float32 [latent_dim]: the map is z @ weight.T + bias.
    """
    exact = v.astype(np.float64)
    exact /= np.linalg.norm(exact)
    weight = np.eye(len(exact)) - np.outer(exact, exact)
    return weight.astype(np.float32), (strength * exact).astype(np.float32)


def compose(second: tuple[Floats, Floats], first: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """The weight and bias of the map that applies `first`, then `second`."""
    weight, bias = (array.astype(np.float64) for array in second)
    return (weight @ first[0]).astype(np.float32), (weight @ first[1] + bias).astype(np.float32)
