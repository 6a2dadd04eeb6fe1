"""Grading: answers are kept as they are given, by several graders, on a page or by files of numbers."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from avatar_training.steering.grades import GradesError, read_grades
from avatar_training.steering.grading import SHEET, Grading, create_folder
from avatar_training.steering.grading_server import GradingServer
from avatar_training.steering.sheets import take_numbers, write_sheets
from avatar_training.steering.summary import summarise

from .graded import serving

COUNT, REAL = 66, 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """66 generated faces, each of the level of its number, and four white real ones."""
    levels = np.arange(COUNT, dtype=np.uint8)[:, None, None, None]
    images = np.broadcast_to(levels, (COUNT, 8, 8, 3))
    names = [f"grade/{i}" for i in range(COUNT)]
    create_folder(tmp_path / "grades", names, images, "model-id", np.full((REAL, 8, 8, 3), 255, np.uint8))
    return tmp_path / "grades"


def test_answers_are_read_back_with_the_pictures_that_were_seen(folder: Path) -> None:
    ana, ben = Grading(folder, "ana"), Grading(folder, "ben")
    expected = []
    for grading, places in ((ana, (0, 5, 65)), (ben, (1, 5))):
        for place in places:
            grading.grade(place, place % 3)
            if grading.picture(place)[0, 0, 0] != 255:
                expected.append((grading.grader, place % 3, int(grading.picture(place)[0, 0, 0])))
    grades = read_grades([folder])
    assert sorted(zip(grades.grader, grades.grade, grades.images[:, 0, 0, 0], strict=True)) == sorted(expected)
    assert {f"ana/{place // SHEET}" for place in (0, 65)} >= set(grades.sheet[grades.grader == "ana"])


def test_every_grader_sees_all_faces_in_an_order_of_their_own(folder: Path) -> None:
    orders = {}
    for name in ("ana", "ben"):
        grading = Grading(folder, name)
        orders[name] = [int(grading.picture(place)[0, 0, 0]) for place in range(len(grading))]
        assert sorted(orders[name]) == [*range(COUNT), *[255] * REAL]
        assert orders[name] == [int(Grading(folder, name).picture(p)[0, 0, 0]) for p in range(len(grading))]
    assert orders["ana"] != orders["ben"]


def test_grading_goes_on_where_it_was_left_and_undo_reaches_back(folder: Path) -> None:
    first = Grading(folder, "ana")
    for place, grade in ((3, 0), (4, 1), (3, 2)):  # 3 is graded again
        first.grade(place, grade)
    again = Grading(folder, "ana")
    assert again.grades == {4: 1, 3: 2}
    assert again.undo() == 3
    assert Grading(folder, "ana").grades == {4: 1}
    assert again.undo() == 4
    assert again.undo() is None
    assert Grading(folder, "ana").grades == {}
    assert Grading(folder, "ben").grades == {}


def test_a_damaged_line_is_named(folder: Path) -> None:
    Grading(folder, "ana").grade(0, 1)
    path = folder / "grades.jsonl"
    sound = path.read_text()
    fields = json.loads(sound)
    for damaged in (
        sound[: len(sound) // 2],
        "[]",
        "nothing",
        json.dumps({**fields, "grade": 7}),
        json.dumps({**fields, "grade": "0"}),
        json.dumps({**fields, "face": 3}),
        json.dumps({**fields, "more": 1}),
    ):
        path.write_text(sound + damaged + "\n" + sound)
        for read in (lambda: Grading(folder, "ana"), lambda: read_grades([folder])):
            with pytest.raises(GradesError, match=r"grades\.jsonl, line 2, is damaged") as refusal:
                read()
            assert "\n" not in str(refusal.value)
    path.write_text(json.dumps({**fields, "face": "other/1"}))
    with pytest.raises(GradesError, match="grades other/1, which is not in"):
        read_grades([folder])


def test_folders_that_cannot_be_used_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(GradesError, match="already holds faces to grade"):
        create_folder(folder, ["a"], np.zeros((1, 8, 8, 3), np.uint8), "m")
    with pytest.raises(GradesError, match="cannot read"):
        Grading(tmp_path / "none", "ana")
    (tmp_path / "faces.npz").write_text("no archive")
    with pytest.raises(GradesError, match="damaged"):
        Grading(tmp_path, "ana")
    with pytest.raises(GradesError, match=r"cannot read .*grades\.jsonl"):
        read_grades([folder])
    Grading(folder, "ana").undo()
    for name in ("", "a\nb", "x" * 101):
        with pytest.raises(GradesError, match="grader's name"):
            Grading(folder, name)
    np.savez(tmp_path / "old.npz", latents=np.zeros((3, 4), np.float32), grade=np.zeros(2))
    with pytest.raises(GradesError, match="not an archive of grades"):
        read_grades([tmp_path / "old.npz"])


def test_an_archive_of_latents_is_drawn(tmp_path: Path) -> None:
    latents = np.arange(6, dtype=np.float32).reshape(3, 2)
    grade, who = np.array([0, 2, 3], np.uint8), np.array([0, 0, 1], np.uint8)
    np.savez(tmp_path / "old.npz", latents=latents, grade=grade, grader=who, sheet=who)
    grades = read_grades([tmp_path / "old.npz"], lambda z: np.full((len(z), 8, 8, 3), z[:, :1, None, None], np.uint8))
    assert grades.images[:, 0, 0, 0].tolist() == [0, 2, 4]
    assert grades.broken.tolist() == [True, False, False]
    assert grades.grader.tolist() == ["0", "0", "1"]


def test_numbered_sheets_come_back_as_grades(folder: Path, tmp_path: Path) -> None:
    grading = Grading(folder, "ana")
    paths = write_sheets(grading, tmp_path / "sheets")
    assert [path.name for path in paths] == ["sheet-000.png", "sheet-001.png"]
    with Image.open(paths[1]) as sheet:  # its second face is number 65
        assert sheet.size == (8 * 176, 8 * 194)
        assert sheet.convert("RGB").getpixel((176 + 88, 18 + 86)) == (int(grading.picture(65)[0, 0, 0]),) * 3
    numbers = tmp_path / "numbers.txt"
    numbers.write_text("# by eye\nbroken: 0, 3-5\nfine 7 64\ndoubtful rest\n")
    assert take_numbers(grading, numbers) == len(grading)
    grades = Grading(folder, "ana").grades
    assert [place for place, grade in grades.items() if grade == 0] == [0, 3, 4, 5]
    assert [place for place, grade in grades.items() if grade == 2] == [7, 64]
    only = tmp_path / "only.txt"
    only.write_text("sheets 1\nbroken rest\n")
    other = Grading(folder, "ben")
    assert take_numbers(other, only) == COUNT + REAL - SHEET
    assert set(other.grades) == set(range(SHEET, COUNT + REAL))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("broken 3\nfine 3\n", r"line 2: face 3 has a grade already"),
        ("broken 700\n", r"line 1: there is no face 700"),
        ("sheets 0\nbroken 65\n", r"line 2: there is no face 65 on the sheets"),
        ("broken 3 four\n", r"line 1: 'four' is not a number"),
        ("3 4 5\n", r"line 1: '3 4 5' does not begin with"),
        ("fine rest\nbroken rest\n", r"line 2: the rest has a grade already"),
        ("\n", "grades no face"),
    ],
)
def test_a_wrong_file_of_numbers_is_refused_whole(folder: Path, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "numbers.txt"
    path.write_text(text)
    with pytest.raises(GradesError, match=message):
        take_numbers(Grading(folder, "ana"), path)
    assert not (folder / "grades.jsonl").exists()


def test_the_summary_tells_how_far_a_grader_can_be_trusted(folder: Path) -> None:
    for name, real_grade in (("ana", 2), ("ben", 0)):
        grading = Grading(folder, name)
        real = [grading.picture(place)[0, 0, 0] == 255 for place in range(len(grading))]
        levels = [int(grading.picture(place)[0, 0, 0]) for place in range(len(grading))]
        for place, is_real in enumerate(real):
            grading.grade(place, real_grade if is_real else 0 if levels[place] < 33 else 1)
    lines = summarise(folder)
    assert lines[0].startswith("ana, grade: 50% (38% to 62%) broken, 50% (38% to 62%) doubtful, 0%")
    assert lines[1].startswith("ana, real: 0%")
    assert lines[1].endswith("100% (51% to 100%) fine of 4 faces")
    assert lines[3].startswith("ben, real: 100%")
    assert lines[4] == "ana and ben agree on 94% of 70 faces, Cohen's kappa 0.89"


@pytest.fixture
def server(folder: Path) -> Iterator[GradingServer]:
    with serving(folder) as running:
        yield running


def ask(server: GradingServer, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    connection = HTTPConnection(*server.server_address[:2], timeout=30)  # type: ignore[arg-type]
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    data = None if body is None else json.dumps(body)
    connection.request(method, path, data, {"Content-Type": "application/json", **named} if data else named)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, json.loads(content) if response.headers["Content-Type"] == "application/json" else content


def test_the_server_says_nothing_of_whose_face_it_shows(server: GradingServer) -> None:
    status, state = ask(server, "GET", "/state")
    assert (status, state["total"], state["grades"]) == (200, COUNT + REAL, {})
    assert "real" not in json.dumps(state)
    assert ask(server, "GET", "/face/3")[1].startswith(b"\x89PNG")
    assert ask(server, "GET", "/face/70")[0] == 404
    assert ask(server, "GET", "/../grades.jsonl")[0] == 404


def test_the_server_takes_answers_only_from_its_own_page(server: GradingServer) -> None:
    answer = {"place": 3, "grade": 0}
    assert server.server_address[0] == "127.0.0.1"
    assert ask(server, "POST", "/grade", answer, Host="avatars.example")[0] == 403
    assert ask(server, "GET", "/state", Host=f"avatars.example:{server.server_address[1]}")[0] == 403
    assert ask(server, "POST", "/grade", answer, Content_Type="text/plain")[0] == 415
    refused: list[Any] = [{}, {"place": "3", "grade": 0}, {"place": 3, "grade": 9}, {"place": 99, "grade": 0}, [], 3]
    for wrong in refused:
        assert ask(server, "POST", "/grade", wrong)[0] == 400
    assert ask(server, "POST", "/other", answer)[0] == 400
    assert not server.grading.grades
    assert ask(server, "POST", "/grade", answer)[0] == 200
    assert Grading(server.grading.folder, "ana").grades == {3: 0}
    assert ask(server, "POST", "/undo", {}) == (200, {"place": 3})
    assert ask(server, "POST", "/undo", {}) == (200, {"place": None})
