"""The progress bar: on a terminal's standard error alone, with the time left."""

import io
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace

import pytest

from avatar_runtime.command import progress
from avatar_runtime.command.progress import ProgressBar, say

from .conftest import Command


class TerminalText(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> TerminalText:
    """Standard error as a terminal; every look at the clock is one second after the one before."""
    seconds = iter(range(1000))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    text = TerminalText()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=text))
    return text


def lines(screen: TerminalText) -> list[str]:
    """What each state of the bar says, without its marks."""
    found = re.split(r"\r", re.sub(r"\x1b\[[?0-9]*[a-zA-Z]", "", screen.getvalue()))
    return [re.sub(r"\[.*?\] *", "", line).strip() for line in found if line.strip()]


def test_it_says_how_much_is_done_and_how_long_it_takes(screen: TerminalText) -> None:
    with ProgressBar("drawing") as bar:
        for done in (0, 25, 50, 100):
            bar.show(done, 100)
    assert lines(screen) == [
        "drawing  0/100",
        "drawing  25/100  0:00:03 left",
        "drawing  50/100  0:00:02 left",
        "drawing  100/100",
    ]
    assert screen.getvalue().endswith("\n")


def test_what_was_done_before_is_no_speed(screen: TerminalText) -> None:
    with ProgressBar("training") as bar:
        bar.show(900, 1000, "4 images/s")
        bar.show(910, 1000, "5 images/s")
    assert lines(screen)[1:] == ["training  900/1000  4 images/s", "training  910/1000  0:00:09 left, 5 images/s"]


def test_quick_work_draws_it_ten_times_a_second(screen: TerminalText, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock) / 64))
    list(ProgressBar("drawing").watch(range(100), 100))
    # Seven looks at this clock are 0.109 seconds; its numbers are exact.
    shown = [f"{done}/100" for done in range(0, 100, 7)]
    assert [line.split()[1] for line in lines(screen)] == [*shown, "100/100"]


def test_it_ends_where_the_work_fails(screen: TerminalText) -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        list(ProgressBar("drawing").watch(failing(), 5))
    assert screen.getvalue().endswith("\x1b[?25h\n"), "the cursor is hidden"


def test_items_pass_through_and_the_bar_fills(screen: TerminalText) -> None:
    assert list(ProgressBar("drawing").watch("abc", 3)) == ["a", "b", "c"]
    assert [line.split("  ")[1] for line in lines(screen)] == ["0/3", "1/3", "2/3", "3/3"]


def test_a_sentence_takes_the_place_of_the_bar(screen: TerminalText) -> None:
    with ProgressBar("training") as bar:
        bar.show(1, 3)
        say("22 images")
        bar.show(2, 3)
    assert "\r\x1b[K22 images\n" in screen.getvalue()
    assert lines(screen)[2] == "22 images"


def test_a_pipe_sees_nothing_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(ProgressBar("drawing").watch(range(500), 500)) == list(range(500))
    say("a sentence")
    assert capsys.readouterr() == ("", "a sentence\n")


@pytest.mark.parametrize(
    "options",
    ["--count 100 --out-dir faces", "--count 100 --out faces.png", "--interpolate a b --frames 100 --out morph.gif"],
)
def test_avatar_gen_shows_it_unless_json_is_asked_for(
    installed_avatar_gen: Command, folder: object, options: str
) -> None:
    pty = pytest.importorskip("pty")
    for json, expected in ([], True), (["--json"], False):
        master, terminal = pty.openpty()
        done = installed_avatar_gen(*options.split(), *json, stderr=terminal)
        os.close(terminal)
        seen = b""
        with suppress(OSError):  # a terminal nobody holds ends with an error
            while part := os.read(master, 4096):
                seen += part
        os.close(master)
        assert done.returncode == 0
        assert (b"drawing" in seen, b"100/100" in seen) == (expected, expected)
        assert "\x1b" not in done.stdout
