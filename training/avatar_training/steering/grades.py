"""Graded faces: the pictures that people saw and what they said about each, from a grading folder or an archive.

A grading folder (`avatar-train grade`) holds `faces.npz`, the pictures, and `grades.jsonl`, a line for each answer:
`{"face": "grade/17", "model": "…", "grader": "ana", "sheet": "ana/0", "grade": 0, "time": "…"}`. Grade 0 is broken, 1
doubtful, 2 fine, and null withdraws the grader's last answer about that face. A grader's last answer about a face
counts. Faces whose name begins with `real/` are real ones, there to check the grader.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from avatar_runtime.errors import AvatarError, ModelFileError
from avatar_runtime.imaging.arrays import UInt8
from avatar_runtime.model_file.reading import read_file
from avatar_training.archive import ArchiveError, read_arrays
from avatar_training.steering.activations import Floats

GRADES = {0: "broken", 1: "doubtful", 2: "fine"}
REAL = "real/"
"""Begins the names of real faces among the graded ones."""

FACES_FILE, GRADES_FILE = "faces.npz", "grades.jsonl"

Draw = Callable[[Floats], UInt8]
"""Latents float32 [N, latent_dim] to pictures uint8 [N, H, W, C]."""


class GradesError(AvatarError):
    """Grades cannot be read."""


@dataclass(frozen=True)
class Grades:
    """Graded pictures; a picture that two people graded appears twice."""

    images: UInt8
    """[N, H, W, C]."""
    grade: npt.NDArray[np.int64]
    """[N]: 0 is broken."""
    grader: npt.NDArray[np.str_]
    """[N]."""
    sheet: npt.NDArray[np.str_]
    """[N]: what was graded in one go."""
    sha256: str

    @property
    def broken(self) -> npt.NDArray[np.bool_]:
        """Which faces were called broken, [N]."""
        return np.asarray(self.grade == 0)

    def chosen(self, rows: npt.NDArray[Any]) -> "Grades":
        """Some rows; the digest stays that of all grades."""
        return Grades(self.images[rows], self.grade[rows], self.grader[rows], self.sheet[rows], self.sha256)


@dataclass(frozen=True)
class Answer:
    """One line of grades.jsonl."""

    face: str
    model: str
    grader: str
    sheet: str
    grade: int | None
    time: str = field(compare=False)


def read_grades(paths: list[Path], draw: Draw | None = None) -> Grades:
    """The graded faces of grading folders and archives, one after the other.

    Args:
        paths: Folders, or .npz files with latents [N, latent_dim], grade, grader and sheet, each [N].
        draw: Draws an archive's latents, with the generator whose faces were graded.

    Raises:
        GradesError: One cannot be read (a damaged line is named), holds no grades, or their pictures differ in size.
    """
    parts = [_read_archive(path, draw) if path.suffix == ".npz" else _read_folder(path) for path in paths]
    if len({part.images.shape[1:] for part in parts}) != 1:
        sizes = ", ".join(f"{path}: {part.images.shape[1:]}" for path, part in zip(paths, parts, strict=True))
        raise GradesError(f"graded pictures must be of one size ({sizes})")
    return Grades(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.grade for part in parts]),
        np.concatenate([part.grader for part in parts]),
        np.concatenate([part.sheet for part in parts]),
        parts[0].sha256 if len(parts) == 1 else _digest("".join(part.sha256 for part in parts).encode()),
    )


def read_answers(path: Path) -> list[Answer]:
    """Every line of a grades.jsonl. Raises GradesError, naming the first damaged line."""
    answers = []
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as err:
        raise GradesError(f"cannot read {path}: {err.strerror or err}") from err
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            answer = Answer(**json.loads(line))
            texts = (answer.face, answer.model, answer.grader, answer.sheet, answer.time)
            if not all(isinstance(text, str) for text in texts) or answer.grade not in (*GRADES, None):
                raise ValueError
        except (ValueError, TypeError, RecursionError) as err:
            raise GradesError(
                f"{path}, line {number}, is damaged: {line[:60].decode(errors='replace')!r}; fix or remove that line"
            ) from err
        answers.append(answer)
    return answers


def standing(answers: list[Answer]) -> dict[tuple[str, str], Answer]:
    """The answers that count, by grader and face, in the order in which they were given."""
    last: dict[tuple[str, str], Answer] = {}
    for answer in answers:
        key = (answer.grader, answer.face)
        last.pop(key, None)
        if answer.grade is not None:
            last[key] = answer
    return last


def read_faces(path: Path) -> tuple[list[str], UInt8, str]:
    """The names and pictures [N, H, W, C] in a faces.npz, and the model that drew them. Raises GradesError."""
    try:
        saved = read_arrays(path)
        names, images, model = [str(name) for name in saved["names"]], saved["images"], str(saved["model"])
        if images.dtype != np.uint8 or images.ndim != 4 or len(names) != len(images):
            raise ValueError
    except OSError as err:
        raise GradesError(f"cannot read {path}: {err.strerror or err}; avatar-train grade writes it") from err
    except (ValueError, KeyError, TypeError, ArchiveError) as err:
        raise GradesError(f"{path} is damaged; start a new grading folder") from err
    return names, images, model


def _read_folder(folder: Path) -> Grades:
    names, images, _ = read_faces(folder / FACES_FILE)
    place = {name: i for i, name in enumerate(names)}
    answers = standing(read_answers(folder / GRADES_FILE)).values()
    unknown = next((answer.face for answer in answers if answer.face not in place), None)
    if unknown is not None:
        raise GradesError(f"{folder / GRADES_FILE} grades {unknown}, which is not in {FACES_FILE}")
    generated = [answer for answer in answers if not answer.face.startswith(REAL)]
    if not generated:
        raise GradesError(f"{folder} holds no graded faces yet; avatar-train grade --out {folder} asks for them")
    return Grades(
        images[[place[answer.face] for answer in generated]],
        np.array([answer.grade for answer in generated], np.int64),
        np.array([answer.grader for answer in generated]),
        np.array([answer.sheet for answer in generated]),
        _digest((folder / GRADES_FILE).read_bytes()),
    )


def _read_archive(path: Path, draw: Draw | None) -> Grades:
    try:
        data = read_file(path)
        saved = read_arrays(data)
        latents = saved["latents"].astype(np.float32, casting="same_kind")
        grade, grader, sheet = (saved[name] for name in ("grade", "grader", "sheet"))
        if latents.ndim != 2 or any(values.shape != (len(latents),) for values in (grade, grader, sheet)):
            raise ValueError
        grade = grade.astype(np.int64, casting="safe")
    except ModelFileError as err:
        raise GradesError(f"cannot use {path}: {err}") from err
    except (ValueError, KeyError, TypeError, ArchiveError) as err:
        raise GradesError(f"{path} is not an archive of grades: latents [N, D], grade, grader and sheet [N]") from err
    if draw is None:
        raise GradesError(f"{path} holds latents: say which generator's faces were graded")
    return Grades(draw(latents), grade, grader.astype(str), sheet.astype(str), _digest(data))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
