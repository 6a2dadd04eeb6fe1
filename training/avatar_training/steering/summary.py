"""What graders have said so far, and how far each can be trusted."""

from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from avatar_training.steering.grades import GRADES, GRADES_FILE, REAL, Answer, read_answers, standing


def summarise(folder: Path) -> list[str]:
    """Lines about a grading folder: each grader's shares with 95% intervals (Wilson's), what they said of the real
    faces, and how often two graders agree on what is broken. Raises GradesError."""
    answers = list(standing(read_answers(folder / GRADES_FILE)).values())
    by_grader: dict[str, dict[str, Answer]] = {}
    for answer in answers:
        by_grader.setdefault(answer.grader, {})[answer.face] = answer
    lines = []
    for grader, given in by_grader.items():
        lines.append(f"{grader}: {_shares([a for a in given.values() if not a.face.startswith(REAL)])}")
        if real := [answer for answer in given.values() if answer.face.startswith(REAL)]:
            lines.append(f"{grader}, real faces: {_shares(real)}")
    for one, other in combinations(by_grader, 2):
        common = by_grader[one].keys() & by_grader[other].keys()
        if common:
            same = np.mean([(by_grader[one][f].grade == 0) == (by_grader[other][f].grade == 0) for f in sorted(common)])
            lines.append(f"{one} and {other} agree on what is broken in {same:.0%} of {len(common)} faces")
    return lines


def _shares(answers: list[Answer]) -> str:
    parts = []
    for grade, word in GRADES.items():
        count = sum(answer.grade == grade for answer in answers)
        share = "0%"
        if answers:
            low, high = binomtest(count, len(answers)).proportion_ci(method="wilson")
            share = f"{count / len(answers):.0%} ({low:.0%} to {high:.0%})"
        parts.append(f"{share} {word}")
    return f"{', '.join(parts)} of {len(answers)} faces"
