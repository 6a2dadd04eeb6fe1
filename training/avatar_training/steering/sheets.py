"""Grading without a page: numbered sheets of faces, and text files with their grades."""

import io
import re
from pathlib import Path

from PIL import Image, ImageDraw

from avatar_runtime.errors import ModelFileError
from avatar_runtime.imaging.arrays import to_pil
from avatar_runtime.model_file.reading import read_file
from avatar_runtime.output.atomic import make_folder, write_file
from avatar_training.steering.grades import GRADES, GradesError
from avatar_training.steering.grading import SHEET, Grading

_COLUMNS, _SIDE, _MARGIN, _TITLE = 8, 172, 4, 18

_LINE = re.compile(r"(sheets|broken|doubtful|fine)\b:?(.*)")


def write_sheets(grading: Grading, folder: Path) -> list[Path]:
    """Write a grader's faces as sheets of 8 by 8, each with its number above it: sheet-000.png, …

    Raises OutputError.
    """
    make_folder(folder)
    paths = []
    for first in range(0, len(grading), SHEET):
        cell, tall = _SIDE + _MARGIN, _SIDE + _MARGIN + _TITLE
        sheet = Image.new("RGB", (_COLUMNS * cell, SHEET // _COLUMNS * tall), "white")
        pen = ImageDraw.Draw(sheet)
        for place in range(first, min(first + SHEET, len(grading))):
            row, column = divmod(place - first, _COLUMNS)
            face = to_pil(grading.picture(place)).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
            sheet.paste(face, (column * cell + _MARGIN // 2, row * tall + _TITLE))
            pen.text((column * cell + _MARGIN, row * tall + 3), str(place), fill="black")
        buffer = io.BytesIO()
        sheet.save(buffer, "PNG")
        paths.append(folder / f"sheet-{first // SHEET:03}.png")
        write_file(paths[-1], buffer.getvalue())
    return paths


def take_numbers(grading: Grading, path: Path) -> int:
    """Read a grader's text file into the folder; returns how many faces it grades.

    Each line is a grade, then numbers of faces, ranges (3-7), or the word rest for all faces that no line names:

        sheets 0-3
        broken 3 17 40-42
        fine 5 9
        doubtful rest

    A line with sheets limits the file, and so rest, to these sheets. Raises GradesError with the line, and then nothing
    of the file is taken; or OutputError.
    """
    try:
        lines = read_file(path).decode().splitlines()
    except (ModelFileError, UnicodeDecodeError) as err:
        reason = err if isinstance(err, ModelFileError) else "it is not a text file"
        raise GradesError(f"cannot use {path}: {reason}") from err
    words = {word: grade for grade, word in GRADES.items()}
    answers: dict[int, int] = {}
    about = set(range(len(grading)))
    rest: int | None = None
    for number, line in enumerate(lines, 1):
        where = f"{path}, line {number}"
        if not line.split("#")[0].strip():
            continue
        match = _LINE.fullmatch(line.split("#")[0].strip())
        if match is None:
            raise GradesError(f"{where}: {line[:40]!r} does not begin with sheets, {', '.join(words)}")
        word, numbers = match.groups()
        if word == "sheets":
            sheets = _numbers(numbers, where)
            about = {place for place in about if place // SHEET in sheets}
        elif numbers.split() == ["rest"]:
            if rest is not None:
                raise GradesError(f"{where}: the rest has a grade already")
            rest = words[word]
        else:
            for place in _numbers(numbers, where):
                if place not in about:
                    raise GradesError(f"{where}: there is no face {place} on the sheets")
                if place in answers:
                    raise GradesError(f"{where}: face {place} has a grade already")
                answers[place] = words[word]
    if rest is not None:
        answers = {place: answers.get(place, rest) for place in sorted(about)}
    if not answers:
        raise GradesError(f"{path} grades no face")
    grading.grade_all(answers)
    return len(answers)


def _numbers(text: str, where: str) -> list[int]:
    numbers: list[int] = []
    for word in text.replace(",", " ").split():
        match = re.fullmatch(r"(\d{1,7})(?:-(\d{1,7}))?", word)
        if match is None:
            raise GradesError(f"{where}: {word[:20]!r} is not a number, a range or rest")
        numbers.extend(range(int(match[1]), int(match[2] or match[1]) + 1))
    return numbers
