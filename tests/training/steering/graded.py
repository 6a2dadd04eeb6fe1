"""A running grading server, and made-up graded faces: coloured noise, with a cross for an eye where one is broken."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from avatar_training.steering.grades import Grades
from avatar_training.steering.grading import Grading
from avatar_training.steering.grading_server import GradingServer


def pictures(broken: Any, seed: int = 0, side: int = 32) -> Any:
    """uint8 [N, side, side, 3] for a bool [N]."""
    rng = np.random.default_rng(seed)
    images = rng.integers(60, 200, (len(broken), 1, 1, 3)) + rng.integers(-40, 41, (len(broken), side, side, 3))
    cross = np.zeros((side, side, 1), bool)
    cross[side // 2, side // 4 : side // 2] = cross[side // 4 : side // 2, side // 3] = True
    return np.clip(images - 55 * (cross & broken[:, None, None, None]), 0, 255).astype(np.uint8)


def graded(count: int = 400, graders: int = 4, wrong: float = 0.1, seed: int = 0) -> Grades:
    """Faces of which a third is broken, graded by several in sheets of 50, each answer wrong with a probability."""
    rng = np.random.default_rng(seed)
    broken = rng.random(count) < 1 / 3
    said = broken ^ (rng.random(count) < wrong)
    grader = (np.arange(count) * graders // count).astype(str)
    sheet = np.char.add(grader, np.char.add("/", (np.arange(count) // 50).astype(str)))
    return Grades(pictures(broken, seed), np.where(said, 0, 2), grader, sheet, "feed")


@contextmanager
def serving(folder: Path) -> Iterator[GradingServer]:
    """The grading page of ana, who grades the faces of a folder."""
    with GradingServer(Grading(folder, "ana")) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
