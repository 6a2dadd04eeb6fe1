"""A grading folder: the pictures to grade, and each grader's answers as they come in. See `grades` for its files."""

import hashlib
import json
import time
from pathlib import Path

import numpy as np

from avatar_runtime.imaging.arrays import UInt8
from avatar_runtime.output.atomic import make_folder, write_file, writing
from avatar_training.archive import pack_arrays
from avatar_training.steering.grades import (
    FACES_FILE,
    GRADES,
    GRADES_FILE,
    REAL,
    Answer,
    GradesError,
    read_answers,
    read_faces,
    standing,
)

SHEET = 64
"""Faces on a sheet."""


def create_folder(folder: Path, names: list[str], images: UInt8, model: str, real: UInt8 | None = None) -> None:
    """Start a grading folder.

    Args:
        folder: It may exist, but must not hold faces yet.
        names: The generated faces' names.
        images: Their pictures, uint8 [N, H, W, C].
        model: The id of the model that drew them: the SHA-256 of its file.
        real: Real faces to hide among them, uint8 [M, H, W, C], to check graders with.

    Raises:
        GradesError: The folder already holds faces.
        OutputError: It cannot be written.
    """
    if (folder / FACES_FILE).exists():
        raise GradesError(f"{folder} already holds faces to grade; continue with it, or name another folder")
    if real is not None and len(real):
        names = [*names, *(f"{REAL}{i}" for i in range(len(real)))]
        images = np.concatenate([images, real])
    make_folder(folder)
    packed = pack_arrays(names=np.array(names), images=images, model=np.array(model))
    write_file(folder / FACES_FILE, packed)


class Grading:
    """One grader at work in a folder.

    Every grader gets all faces, real ones hidden among them, in their own order. A place is a number in that order,
    so that nothing on the page tells where a face comes from. Each answer is saved before the next is taken.

    Raises GradesError if the folder holds no faces or a damaged file.
    """

    def __init__(self, folder: Path, grader: str) -> None:
        if not grader.strip() or not grader.isprintable() or len(grader) > 100:
            raise GradesError("a grader's name must be 1 to 100 printable characters")
        self.folder, self.grader = folder, grader
        self._names, self._images, self.model = read_faces(folder / FACES_FILE)
        seed = int.from_bytes(hashlib.sha256(grader.encode()).digest()[:8], "big")
        self._order = np.random.default_rng(seed).permutation(len(self._names))
        self._place = {self._names[i]: place for place, i in enumerate(self._order)}
        self.grades: dict[int, int] = {}
        """The standing answers: place -> grade, in the order in which they were given."""
        path = folder / GRADES_FILE
        if not path.exists():
            return
        for answer in standing(read_answers(path)).values():
            if answer.face not in self._place:
                raise GradesError(f"{path} grades {answer.face}, which is not in {FACES_FILE}")
            if answer.grader == grader and answer.grade is not None:
                self.grades[self._place[answer.face]] = answer.grade

    def __len__(self) -> int:
        """How many faces there are to grade."""
        return len(self._order)

    def picture(self, place: int) -> UInt8:
        """The picture at a place, uint8 [H, W, C]. Raises GradesError if there is no such place."""
        return np.asarray(self._images[self._order[self._checked(place)]])

    def grade(self, place: int, grade: int) -> None:
        """Give an answer, or replace an earlier one. Raises GradesError or OutputError."""
        if grade not in GRADES:
            raise GradesError(f"a grade is one of {', '.join(f'{g} ({word})' for g, word in GRADES.items())}")
        self.grade_all({place: grade})

    def grade_all(self, answers: dict[int, int]) -> None:
        """Give many answers at once: all are saved, or none. Raises GradesError or OutputError."""
        for place in answers:
            self._checked(place)
        self._append(answers)
        for place, grade in answers.items():
            self.grades.pop(place, None)  # an answer given again is the newest
            self.grades[place] = grade

    def undo(self) -> int | None:
        """Withdraw the newest answer: returns its place, or None if there is none. Raises OutputError."""
        if not self.grades:
            return None
        place = next(reversed(self.grades))
        self._append({place: None})
        del self.grades[place]
        return place

    def _append(self, answers: dict[int, int] | dict[int, None]) -> None:
        lines = []
        for place, grade in answers.items():
            answer = Answer(
                face=self._names[self._order[place]],
                model=self.model,
                grader=self.grader,
                sheet=f"{self.grader}/{place // SHEET}",
                grade=grade,
                time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            )
            lines.append(json.dumps(vars(answer), ensure_ascii=False) + "\n")
        path = self.folder / GRADES_FILE
        with writing(path), path.open("ab") as file:  # one write: other graders append to the same file
            file.write("".join(lines).encode())

    def _checked(self, place: int) -> int:
        if not 0 <= place < len(self._order):
            raise GradesError(f"there is no face {place}: the numbers go from 0 to {len(self._order) - 1}")
        return place
