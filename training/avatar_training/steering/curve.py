"""The trade-off: what each strength of steering improves, and what it costs in variety, colour and pose."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avatar_runtime.imaging.arrays import UInt8
from avatar_training.metrics.features import FeatureNetwork, Features
from avatar_training.metrics.kid import kid
from avatar_training.metrics.precision_recall import precision_recall
from avatar_training.steering.activations import ActivationNetwork, Floats
from avatar_training.steering.critic import Critic
from avatar_training.steering.direction import affine_map
from avatar_training.steering.drawing import Drawing
from avatar_training.steering.drift import Pose, hue_drift

STRENGTHS = (0.6, 0.8, 1.0, 1.2, 1.5)


@dataclass(frozen=True)
class Point:
    """Measurements of faces at one strength. Four of them are None if there are no real faces to compare with."""

    strength: float | None
    """None for the unsteered faces."""
    broken: float
    """The share of broken faces that the judge expects: the mean of its probabilities."""
    kid: float | None
    """Distance from the real faces; lower is better."""
    precision: float | None
    """See `metrics.precision_recall`, also for the next two."""
    recall: float | None
    coverage: float | None
    hue_drift: float
    """See `drift`."""
    pose_drift: float


class Measurement:
    """Measures faces of the same names at any strength.

    Args:
        drawing: The generator.
        network: The classifier of the judge.
        judge: A critic that had no part in the choice of the direction.
        count: How many faces.
        real: Real faces, uint8 [N, H, W, C], and the feature network to compare them with; or None.
    """

    def __init__(
        self,
        drawing: Drawing,
        network: ActivationNetwork,
        judge: Critic,
        count: int,
        real: tuple[UInt8, FeatureNetwork] | None,
    ) -> None:
        self.drawing, self.network, self.judge = drawing, network, judge
        self._mapped = drawing.mapped_series("judge", count)
        self._features: Callable[[UInt8], Features] | None = real[1] if real else None
        self._real = real[1](real[0]) if real else None
        self.before = drawing.draw_mapped(self._mapped)
        """The unsteered faces, uint8 [N, H, W, C]."""
        self._pose = Pose(self.before)

    def faces(self, v: Floats, strength: float) -> UInt8:
        """The same names, steered."""
        weight, bias = affine_map(v, strength)
        return self.drawing.draw_mapped(self._mapped @ weight.T + bias)

    def scores(self, images: UInt8) -> npt.NDArray[np.float64]:
        """How likely each face is broken, by the judge: float64 [N], 0 to 1."""
        return np.asarray(1 / (1 + np.exp(-self.judge.score(self.network, images))))

    def point(self, images: UInt8, strength: float | None) -> Point:
        """Measure faces of the same names, uint8 [N, H, W, C]."""
        distance, overlap = None, None
        if self._features is not None and self._real is not None:
            features = self._features(images)
            distance = kid(self._real, features)[0]
            overlap = precision_recall(self._real, features)
        return Point(
            strength=strength,
            broken=float(self.scores(images).mean()),
            kid=distance,
            precision=overlap.precision if overlap else None,
            recall=overlap.recall if overlap else None,
            coverage=overlap.coverage if overlap else None,
            hue_drift=hue_drift(self.before, images),
            pose_drift=self._pose.drift(images),
        )


def suggested_strength(points: Sequence[Point], keep_recall: float) -> float | None:
    """The largest measured strength that keeps this share of the unsteered faces' recall; None if none does.

    It is a share because recall depends on how many faces are compared. The first point is the unsteered faces'.
    """
    before = points[0].recall
    if before is None:
        return None
    steered = [(point.strength, point.recall) for point in points[1:]]
    kept = [strength for strength, recall in steered if strength and recall and recall >= keep_recall * before]
    return max(kept, default=None)
