"""What graders have said so far, and how far each can be trusted."""

from itertools import combinations
from pathlib import Path

from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from avatar_training.steering.grades import GRADES, GRADES_FILE, read_answers, standing


def summarise(folder: Path) -> list[str]:
    """Lines about a grading folder. Raises GradesError.

    For each grader and each kind of faces (of a series, of a model, or real ones) the shares of the grades with 95%
    intervals (Wilson's); and for each two graders how often they agree, and Cohen's kappa, which is 0 for chance: J.
    Cohen, "A Coefficient of Agreement for Nominal Scales", 1960.
    """
    given: dict[str, dict[str, int]] = {}  # grader -> face -> grade
    for (grader, face), answer in standing(read_answers(folder / GRADES_FILE)).items():
        if answer.grade is not None:
            given.setdefault(grader, {})[face] = answer.grade
    lines = []
    for grader, grades in given.items():
        for kind in dict.fromkeys(face.rpartition("/")[0] for face in sorted(grades)):
            of_kind = [grade for face, grade in grades.items() if face.rpartition("/")[0] == kind]
            lines.append(f"{grader}, {kind}: {_shares(of_kind)}")
    for (one, first), (other, second) in combinations(given.items(), 2):
        if both := sorted(first.keys() & second.keys()):
            pairs = [(first[face], second[face]) for face in both]
            alike = sum(a == b for a, b in pairs) / len(pairs)
            kappa = cohen_kappa_score(*zip(*pairs, strict=True)) if len(set().union(*pairs)) > 1 else 1.0
            lines.append(f"{one} and {other} agree on {alike:.0%} of {len(both)} faces, Cohen's kappa {kappa:.2f}")
    return lines


def _shares(grades: list[int]) -> str:
    parts = []
    for grade, word in GRADES.items():
        count = grades.count(grade)
        low, high = binomtest(count, len(grades)).proportion_ci(method="wilson")
        parts.append(f"{count / len(grades):.0%} ({low:.0%} to {high:.0%}) {word}")
    return f"{', '.join(parts)} of {len(grades)} faces"
