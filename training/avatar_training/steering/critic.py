"""A critic, trained on grades: one linear map from a classifier's activations to "how broken is this face".

Pooled activations are standardised and reduced to their first 300 principal components; a ridge regression predicts
from those by how much a grade differs from its grader's mean, and a logistic regression the logit of "broken" from
that. All four are affine, so they reduce to one vector and one number. Learning the grade uses what is said of
doubtful faces: on 704 faces of other graders the AUC of "not fine" is 0.78, and 0.72 if "broken" is learnt alone;
that of "broken" is 0.82 and 0.81. Graders differ in how strict they are: with their means taken away, the AUC of "not
fine" on 480 faces of two newer models is 0.755 instead of 0.736.

The file, `critic.npz`, holds no pickles, so any program can read it:

    weights         float32 [F]   logit of "broken" = activations @ weights + bias: higher is more broken
    bias            float32 []
    tensors         str [T]       names of the classifier's activations, in order
    pool            int64 []      4: each activation [C, S, S] is averaged over a 4 x 4 grid of equal cells
    input_size      int64 []      128: pictures are resized to it bilinearly (half-pixel centres) if they differ
    pixel_range     float32 [2]   -1, 1: what black and white are where the classifier's first convolution (or the
                                  padding before it) reads
    grey            bool []       true: the picture is its luma, three times over
    grey_weights    float32 [3]   0.299, 0.587, 0.114: red's, green's and blue's part of the luma
    mirror          bool []       true: activations are the mean of the picture's and its mirror image's
    network_sha256  str []        digest of the classifier's ONNX file
    grades_sha256   str []        digest of the grades
    graders         str [G]       who graded
    auc             float64 [3]   the AUC on graders (or sheets) left out of training, and its 95% interval
    unseen          str []        "grader" or "sheet": what was left out of training

F is the sum of C * 16 over the tensors; a tensor's part is its [C, 4, 4] flattened in C order: channel first, then row,
then column.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from avatar_runtime.errors import AvatarError
from avatar_runtime.imaging.arrays import UInt8
from avatar_runtime.output.atomic import write_file
from avatar_training.archive import ArchiveError, pack_arrays, read_arrays
from avatar_training.steering.activations import GREY, INPUT_SIZE, PIXEL_RANGE, POOL, ActivationNetwork, Floats

COMPONENTS = 300
PENALTY = 2.0
"""Alpha of the ridge regression, for each activation: standardised, they have as much variance as there are of them."""

MIN_FACES, MIN_EACH = 120, 30
"""The least number of faces to train on, and of broken and of whole ones among them."""


class CriticError(AvatarError):
    """No critic can be trained on these grades, or a file holds none."""


@dataclass(frozen=True)
class Validation:
    """How well a critic tells broken faces from whole ones, on grades that it was not trained on."""

    auc: float
    """The chance that of a broken and a whole face of one grader the broken one gets the higher score."""
    low: float
    """The lower end of its 95% interval."""
    high: float
    """The upper end."""
    unseen: str
    """What was left out of training: whole graders ("grader") or sheets ("sheet")."""

    def __str__(self) -> str:
        return f"AUC {self.auc:.3f} ({self.low:.3f} to {self.high:.3f}) on {self.unseen}s left out of training"


@dataclass(frozen=True)
class Critic:
    """One linear map of pooled activations; see the module for its file."""

    weights: Floats
    """float32 [F]."""
    bias: float
    tensors: tuple[str, ...]
    network_sha256: str
    grades_sha256: str
    graders: tuple[str, ...]
    validation: Validation

    def logits(self, activations: Floats) -> npt.NDArray[np.float64]:
        """How broken faces are, from pooled activations float32 [N, F]: the logit of "broken", float64 [N]."""
        if activations.shape[1:] != self.weights.shape:
            raise CriticError(f"the critic weighs {len(self.weights)} activations, not {activations.shape[1]}")
        scores: npt.NDArray[np.float64] = activations.astype(np.float64) @ self.weights.astype(np.float64) + self.bias
        return scores

    def score(self, network: ActivationNetwork, images: UInt8) -> npt.NDArray[np.float64]:
        """How broken the faces in pictures uint8 [N, H, W, C] are. Raises CriticError for another classifier."""
        if (network.sha256, network.tensors) != (self.network_sha256, self.tensors):
            raise CriticError(f"the critic was trained with another classifier than {network.path}")
        return self.logits(network(images))

    def save(self, path: Path) -> None:
        """Write the file. Raises OutputError."""
        packed = pack_arrays(
            weights=self.weights,
            bias=np.float32(self.bias),
            tensors=np.array(self.tensors),
            pool=np.int64(POOL),
            input_size=np.int64(INPUT_SIZE),
            pixel_range=np.array(PIXEL_RANGE, np.float32),
            grey=np.bool_(True),
            grey_weights=np.array(GREY, np.float32),
            mirror=np.bool_(True),
            network_sha256=np.array(self.network_sha256),
            grades_sha256=np.array(self.grades_sha256),
            graders=np.array(self.graders),
            auc=np.array([self.validation.auc, self.validation.low, self.validation.high]),
            unseen=np.array(self.validation.unseen),
        )
        write_file(path, packed)


def read_critic(path: Path) -> Critic:
    """The critic in a file. Raises CriticError."""
    try:
        values: dict[str, Any] = read_arrays(path)
        auc, low, high = values["auc"].tolist()
        critic = Critic(
            weights=values["weights"].astype(np.float32, casting="same_kind"),
            bias=float(values["bias"]),
            tensors=tuple(map(str, values["tensors"])),
            network_sha256=str(values["network_sha256"]),
            grades_sha256=str(values["grades_sha256"]),
            graders=tuple(map(str, values["graders"])),
            validation=Validation(auc, low, high, str(values["unseen"])),
        )
    except OSError as err:
        raise CriticError(f"cannot read the critic {path}: {err.strerror or err}") from err
    except (ValueError, KeyError, TypeError, ArchiveError) as err:
        raise CriticError(f"{path} is damaged or not a critic; avatar-train steer writes one") from err
    settings = (values.get("pool"), values.get("input_size"), values.get("grey"), values.get("mirror"))
    if settings != (POOL, INPUT_SIZE, True, True) or critic.weights.ndim != 1 or not np.isfinite(critic.weights).all():
        raise CriticError(f"{path} is not a critic that this version can use")
    return critic


def fit(activations: Floats, grade: npt.NDArray[np.int64], grader: npt.NDArray[np.str_]) -> tuple[Floats, float]:
    """Train a critic on pooled activations, float32 [N, F], and how good each face is, [N], 0 for broken, to whom, [N].

    Returns weights float32 [F] and a bias. Raises CriticError if there are too few faces.
    """
    broken = grade == 0
    few = min(broken.sum(), (~broken).sum())
    if few < MIN_EACH or len(broken) < MIN_FACES:
        raise CriticError(
            f"{len(broken)} graded faces, {broken.sum()} of them broken, are too few to learn from; grade until there "
            f"are at least {MIN_FACES} faces, {MIN_EACH} of them broken and {MIN_EACH} not"
        )
    scaler, ridge = StandardScaler(), Ridge(PENALTY * activations.shape[1])
    pca = PCA(min(COMPONENTS, *activations.shape), svd_solver="randomized", random_state=0)
    components = pca.fit_transform(scaler.fit_transform(activations))
    _, graders = np.unique(grader, return_inverse=True)
    ridge.fit(components, grade - (np.bincount(graders, grade) / np.bincount(graders))[graders])
    logistic = LogisticRegression().fit(ridge.predict(components)[:, None], broken)
    # Each of the four is affine: their product is one vector, and the rest one number.
    by_component = logistic.coef_[0, 0] * ridge.coef_.astype(np.float64) @ pca.components_.astype(np.float64)  # [F]
    weights = by_component / scaler.scale_
    at_mean = logistic.intercept_[0] + logistic.coef_[0, 0] * ridge.intercept_
    bias = at_mean - weights @ scaler.mean_ - by_component @ pca.mean_.astype(np.float64)
    return weights.astype(np.float32), float(np.float32(bias))  # what the file holds
