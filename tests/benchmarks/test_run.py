import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.suite import cold_start, results, run
from benchmarks.suite.models import Models
from benchmarks.suite.setting import Setting


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "load", lambda: {"average": 0.1, "busy": 0.5})


class Part:
    """A part whose measurements are counted, in the place of cold-start's module."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, measured: dict[str, Any]) -> None:
        self.count, self.error = 0, ""
        stand_in = SimpleNamespace(
            INPUTS=("features",),
            measure=self.measure,
            tables=cold_start.tables,
            bars=cold_start.bars,
            headline=cold_start.headline,
            READ=cold_start.READ,
        )
        self.measured = measured
        monkeypatch.setattr(run, "module", lambda part: stand_in)

    def measure(self, setting: Setting, made: Callable[[], Models], say: Callable[[str], None]) -> dict[str, Any]:
        self.count += 1
        if self.error:
            raise RuntimeError(self.error)
        say("measuring")
        return {name: self.measured[name] for name in ("turns", "ratios", "failed")} | {"skipped": {"X": "not here"}}


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch, results: dict[str, Any]) -> Part:
    return Part(monkeypatch, results["parts"]["cold-start"])


def ran(setting: Setting, again: bool = False) -> tuple[list[str], list[str]]:
    said: list[str] = []
    shown: list[str] = []
    run.run(setting, ["cold-start"], again, said.append, shown.append)
    return said, shown


def test_a_part_is_measured_once_in_a_setting_and_again_when_asked(setting: Setting, part: Part) -> None:
    said, shown = ran(setting)
    assert "50%" in said[0]
    assert "skipped X: not here" in shown
    said, again = ran(setting)
    assert part.count == 1
    assert "already" in said[0]
    assert again == shown
    ran(setting, again=True)
    assert part.count == 2


def test_a_part_in_which_an_alternative_failed_is_measured_again(setting: Setting, part: Part) -> None:
    part.measured["failed"] = {"X": "no file"}
    ran(setting)
    part.measured["failed"] = {}
    said, _ = ran(setting)
    assert part.count == 2
    assert not any("already" in line for line in said)
    ran(setting)
    assert part.count == 2


def test_a_part_that_was_given_less_is_measured_again(setting: Setting, part: Part) -> None:
    ran(setting)
    said, _ = ran(replace(setting, features=Path("features.onnx")))
    assert part.count == 2
    assert not any("already" in line for line in said)


def test_results_of_another_setting_are_set_aside(setting: Setting, part: Part) -> None:
    ran(setting)
    setting.checkpoint.write_bytes(b"other weights")
    said, _ = ran(setting)
    assert "another model" in said[0]
    assert part.count == 2
    assert len(list(setting.out.glob("results*.json"))) == 2


def test_a_part_that_fails_is_said_and_shown_and_tried_again(setting: Setting, part: Part) -> None:
    part.error = "no room"
    said, _ = ran(setting)
    assert "[1/1] cold-start: failed: no room" in said
    assert "Failed: no room" in (setting.out / "report.html").read_text()
    part.error = ""
    ran(setting)
    assert "cold-start" in results.read(setting.out / "results.json")["parts"]


def test_the_report_shows_every_part_and_needs_no_other_file(setting: Setting, results: dict[str, Any]) -> None:
    setting.out.mkdir()
    (setting.out / "worst-int8.onnx.png").write_bytes(b"a picture")
    run.report(setting, results, {"parity": "no <room>"})
    page = (setting.out / "report.html").read_text()
    assert {path.stem for path in setting.out.glob("*.png")} == {*results["parts"], "worst-int8.onnx"}
    assert page.count("data:image/png;base64,") == 8
    for text in (
        "openvino is not installed",
        "RuntimeError: &lt;out of memory&gt;",
        "no &lt;room&gt;",
        "avatar-edge int8",
        "The worst.",
        "times as fast as MindSpore",
        "others used 2%",
    ):
        assert text in page
    assert "http" not in page
    for name, measured in results["parts"].items():
        assert run.lines(name, measured)


def test_the_report_is_written_of_old_results_too(setting: Setting, results: dict[str, Any]) -> None:
    setting.out.mkdir()
    old = copy.deepcopy(results)
    old["parts"] = {"size": old["parts"]["size"]}
    run.report(setting, old, {})
    assert (setting.out / "size.png").stat().st_size > 1000
