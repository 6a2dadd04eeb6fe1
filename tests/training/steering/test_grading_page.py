"""The grading page in Chromium: keys, undo, one by one, and where it goes on."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar_training.steering.grading import Grading, create_folder

from .graded import serving

COUNT = 70


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Chromium")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 16, 16, 3), np.uint8)
    create_folder(tmp_path / "grades", [f"grade/{i}" for i in range(COUNT)], images, "model")
    return tmp_path / "grades"


@pytest.fixture
def page(chromium: Any, folder: Path) -> Iterator[Any]:
    with serving(folder) as server:
        opened, trouble = chromium.new_page(), list[str]()
        opened.on("pageerror", lambda error: trouble.append(str(error)))
        opened.goto(server.url)
        opened.wait_for_selector("#faces img")
        yield opened
        opened.close()
    assert not trouble


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)
    page.evaluate("() => queue")  # every answer has been saved


def current(page: Any) -> int:
    return int(page.get_attribute('#faces [aria-current="true"]', "data-place"))


def test_keys_grade_and_go_on_and_undo_takes_back(page: Any, folder: Path) -> None:
    assert page.locator("#faces img").count() == 64
    press(page, "1", "2", "3")
    assert Grading(folder, "ana").grades == {0: 0, 1: 1, 2: 2}
    assert current(page) == 3
    assert page.get_attribute('[data-place="0"]', "data-grade") == "0"
    assert page.inner_text('[data-place="2"] span') == "fine"
    press(page, "u")
    assert (current(page), Grading(folder, "ana").grades) == (2, {0: 0, 1: 1})
    press(page, "Backspace", "u")
    assert (current(page), Grading(folder, "ana").grades) == (0, {})
    press(page, "u")
    assert page.inner_text("#message") == "There is nothing to undo."
    assert page.inner_text("#count") == "0 of 70, sheet 1 of 2"


def test_arrows_and_clicks_choose_the_face(page: Any, folder: Path) -> None:
    press(page, "ArrowRight", "ArrowDown", "3")
    assert Grading(folder, "ana").grades == {9: 2}
    page.click('[data-place="20"]')
    page.click("[data-answer='0']")
    page.evaluate("() => queue")
    assert Grading(folder, "ana").grades == {9: 2, 20: 0}
    assert current(page) == 21


def test_one_by_one_shows_a_single_face(page: Any, folder: Path) -> None:
    press(page, "g", "1", "2")
    shown = page.locator("#faces li:visible")
    assert shown.count() == 1
    assert shown.locator("img").get_attribute("src") == "/face/2"
    press(page, "ArrowDown", "3", "g")
    assert Grading(folder, "ana").grades == {0: 0, 1: 1, 3: 2}
    assert page.locator("#faces li:visible").count() == 64


def test_it_goes_on_where_it_was_left_and_ends_with_the_last_face(page: Any, folder: Path) -> None:
    press(page, *["2"] * 66)
    page.reload()
    page.wait_for_selector("#faces img")
    assert current(page) == 66
    assert page.inner_text("#count") == "66 of 70, sheet 2 of 2"
    assert page.locator("#faces img").count() == 6
    press(page, *["3"] * 4)
    assert page.inner_text("#message").startswith("All graded")
    assert len(Grading(folder, "ana").grades) == COUNT


def test_what_was_not_saved_is_said(page: Any, folder: Path) -> None:
    page.route("**/grade", lambda route: route.fulfill(status=400, json={"error": "cannot write: no space left"}))
    page.keyboard.press("1")
    page.wait_for_function("() => document.getElementById('message').textContent !== ''")
    assert page.inner_text("#message") == "Not saved: cannot write: no space left"
    page.unroute("**/grade")
    assert page.get_attribute('[data-place="0"]', "data-grade") is None
    assert not (folder / "grades.jsonl").exists()
