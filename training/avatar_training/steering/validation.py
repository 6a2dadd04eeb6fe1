"""How good a critic is on faces that others graded, and the critic itself; a bad one is refused."""

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold

from avatar_training.steering.activations import ActivationNetwork, Floats
from avatar_training.steering.critic import Critic, CriticError, Validation, collapse, fit
from avatar_training.steering.grades import Grades

MIN_AUC = 0.7
"""Below it a critic's direction is as likely to be a hair colour as a fault."""

_RESAMPLES = 500
_MAX_FOLDS = 10


def learn_critic(network: ActivationNetwork, activations: Floats, grades: Grades) -> Critic:
    """A critic learnt from all of the grades.

    Args:
        network: What the activations come from.
        activations: float32 [N, F], of the graded faces.
        grades: Their grades.

    Raises:
        CriticError: There are too few grades, or on grades that it has not learnt from the critic's AUC is below 0.7.
    """
    validation = cross_validate(activations, grades)
    if validation.auc < MIN_AUC:
        raise CriticError(
            f"the critic cannot tell broken faces from others: {validation}, where {MIN_AUC} is the least that is of "
            f"use; grade more faces ({grades.broken.sum()} broken of {len(grades.broken)} now), by more than one "
            "grader, and look whether the graders agree and call real faces fine"
        )
    return _critic(network, *collapse(fit(activations, grades.broken)), grades, validation)


def cross_validate(activations: Floats, grades: Grades) -> Validation:
    """The AUC on the grades of graders, or with one grader of sheets, that were left out one group at a time.

    Compared are faces of the same grader only, for graders differ in how strict they are. The interval is from
    bootstrapping whole sheets. Raises CriticError if there are too few grades or groups.
    """
    unseen, groups = _groups(grades)
    count = min(_MAX_FOLDS, len(np.unique(groups)))
    scores = np.empty(len(groups))
    for learnt, left_out in GroupKFold(count).split(activations, groups=groups):
        fitted = fit(activations[learnt], grades.broken[learnt])
        scores[left_out] = fitted.decision_function(activations[left_out])
    return _validation(scores, grades, unseen)


def halves(grades: Grades) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The rows of two halves of the grades with no grader in common (one grader: no sheet), with as many broken each.

    One half is to learn from, the other to judge what came of it. Raises CriticError if there is one group only.
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
    """A critic learnt from half 0 or 1 of the grades, with its AUC on the other half. Raises CriticError."""
    rows, others = halves(grades)[:: 1 if half == 0 else -1]
    learnt, unseen = grades.chosen(rows), grades.chosen(others)
    weights, bias = collapse(fit(activations[rows], learnt.broken))
    scores = activations[others].astype(np.float64) @ weights + bias
    return _critic(network, weights, bias, learnt, _validation(scores, unseen, _groups(grades)[0]))


def _groups(grades: Grades) -> tuple[str, npt.NDArray[np.str_]]:
    """What is left out whole: "grader", or "sheet" if there is one grader; and the one of each face."""
    unseen = "grader" if len(np.unique(grades.grader)) > 1 else "sheet"
    groups = grades.grader if unseen == "grader" else grades.sheet
    if len(np.unique(groups)) < 2:
        raise CriticError("all grades are of one sheet of one grader: grade more, for a critic must be checked")
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
