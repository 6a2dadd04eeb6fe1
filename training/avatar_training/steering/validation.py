"""Trains a critic and measures it on grades left out of training; a bad critic is refused."""

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold

from avatar_training.steering.activations import ActivationNetwork, Floats
from avatar_training.steering.critic import Critic, CriticError, Validation, fit
from avatar_training.steering.grades import Grades

MIN_AUC = 0.7
"""Below it a critic is as likely to follow a hair colour as a fault."""

_RESAMPLES = 500
_MAX_FOLDS = 10


def learn_critic(network: ActivationNetwork, activations: Floats, grades: Grades) -> Critic:
    """Train a critic on all graded faces and their activations, float32 [N, F].

    Raises CriticError if there are too few grades, or if its AUC on grades left out of training is below 0.7.
    """
    validation = cross_validate(activations, grades)
    if validation.auc < MIN_AUC:
        raise CriticError(
            f"the critic cannot tell broken faces from others: {validation}, at least {MIN_AUC} needed; grade "
            f"more faces ({grades.broken.sum()} broken of {len(grades.broken)} now) by more than one grader, and check "
            "that the graders agree and call real faces fine"
        )
    return _critic(network, *fit(activations, grades.grade, grades.grader), grades, validation)


def cross_validate(activations: Floats, grades: Grades) -> Validation:
    """The AUC on graders (with one grader: on sheets) that are left out of training in turn.

    Only faces of the same grader are compared, because graders differ in how strict they are. The interval is from
    bootstrapping whole sheets. Raises CriticError if there are too few grades or groups.
    """
    unseen, groups = _groups(grades)
    count = min(_MAX_FOLDS, len(np.unique(groups)))
    scores = np.empty(len(groups))
    for learnt, left_out in GroupKFold(count).split(activations, groups=groups):
        weights, bias = fit(activations[learnt], grades.grade[learnt], grades.grader[learnt])
        scores[left_out] = activations[left_out] @ weights + bias
    return _validation(scores, grades, unseen)


def halves(grades: Grades) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The rows of two halves of the grades, with no grader (or sheet) in common and about as many broken faces.

    One half is for training, the other to judge the result. Raises CriticError if there is one group only.
    """
    _, groups = _groups(grades)
    names = np.unique(groups)
    broken = {name: int(grades.broken[groups == name].sum()) for name in names}
    first: set[str] = set()
    counts = [0, 0]
    for name in sorted(names, key=lambda name: (-broken[name], name)):
        half = int(counts[1] < counts[0])
        counts[half] += broken[name]
        if half == 0:
            first.add(name)
    mine = np.isin(groups, sorted(first))
    return np.flatnonzero(mine), np.flatnonzero(~mine)


def half_critic(network: ActivationNetwork, activations: Floats, grades: Grades, half: int) -> Critic:
    """Train a critic on half 0 or 1 of the grades; its AUC is that on the other half. Raises CriticError."""
    rows, others = halves(grades)[:: 1 if half == 0 else -1]
    learnt, unseen = grades.chosen(rows), grades.chosen(others)
    weights, bias = fit(activations[rows], learnt.grade, learnt.grader)
    scores = activations[others].astype(np.float64) @ weights + bias
    return _critic(network, weights, bias, learnt, _validation(scores, unseen, _groups(grades)[0]))


def _groups(grades: Grades) -> tuple[str, npt.NDArray[np.str_]]:
    """What is left out whole: "grader", or "sheet" if there is one grader; and the one of each face."""
    unseen = "grader" if len(np.unique(grades.grader)) > 1 else "sheet"
    groups = grades.grader if unseen == "grader" else grades.sheet
    if len(np.unique(groups)) < 2:
        raise CriticError("all grades are of one sheet of one grader; grade more, so that the critic can be checked")
    return unseen, groups


def _critic(network: ActivationNetwork, weights: Floats, bias: float, learnt: Grades, validation: Validation) -> Critic:
    graders = tuple(map(str, np.unique(learnt.grader)))
    return Critic(weights, bias, network.tensors, network.sha256, learnt.sha256, graders, validation)


def _validation(scores: npt.NDArray[np.float64], grades: Grades, unseen: str) -> Validation:
    """The AUC of scores, and its 95% interval from bootstrapping whole sheets."""
    rng, sheets = np.random.default_rng(0), np.unique(grades.sheet)
    of_sheet = [np.flatnonzero(grades.sheet == sheet) for sheet in sheets]
    aucs = []
    for _ in range(_RESAMPLES):
        rows = np.concatenate([of_sheet[i] for i in rng.integers(0, len(sheets), len(sheets))])
        aucs.append(_auc(scores[rows], grades.broken[rows], grades.grader[rows]))
    low, high = np.nanquantile(aucs, [0.025, 0.975])
    return Validation(_auc(scores, grades.broken, grades.grader), float(low), float(high), unseen)


def _auc(scores: npt.NDArray[np.float64], broken: npt.NDArray[np.bool_], grader: npt.NDArray[np.str_]) -> float:
    """The share of pairs of a broken and a whole face of one grader in which the broken one has the higher score."""
    right, pairs = 0.0, 0
    for name in np.unique(grader):
        own = grader == name
        ill, whole = scores[own & broken], np.sort(scores[own & ~broken])
        right += (np.searchsorted(whole, ill, "left") + np.searchsorted(whole, ill, "right")).sum() / 2  # ties: half
        pairs += len(ill) * len(whole)
    return float(right / pairs) if pairs else float("nan")
