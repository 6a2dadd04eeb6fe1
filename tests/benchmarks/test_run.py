from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.suite import commands, results, results_page, run
from benchmarks.suite.models import Models
from benchmarks.suite.parts import module
from benchmarks.suite.setting import RESULTS, Setting


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "load", lambda: {"average": 0.1, "busy": 0.5})


class Part:
    """Stands in for the module of `commands`; counts its measurements."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, measured: dict[str, Any]) -> None:
        self.count, self.error = 0, ""
        stand_in = SimpleNamespace(
            INPUTS=("data",),
            measure=self.measure,
            tables=commands.tables,
            headline=commands.headline,
            READ=commands.READ,
        )
        self.measured = measured
        monkeypatch.setattr(run, "module", lambda part: stand_in)

    def measure(self, setting: Setting, made: Callable[[], Models], say: Callable[[str], None]) -> dict[str, Any]:
        self.count += 1
        if self.error:
            raise RuntimeError(self.error)
        say("measuring")
        return {name: self.measured[name] for name in ("turns", "memory", "ratios", "failed")} | {
            "skipped": {"X": "not here"}
        }


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch, results: dict[str, Any]) -> Part:
    return Part(monkeypatch, results["parts"]["commands"])


def ran(setting: Setting, again: bool = False) -> tuple[list[str], list[str]]:
    said: list[str] = []
    shown: list[str] = []
    run.run(setting, ["commands"], again, said.append, shown.append)
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
    said, _ = ran(replace(setting, data=Path("faces.zip")))
    assert part.count == 2
    assert not any("already" in line for line in said)


def test_results_of_another_model_are_set_aside(setting: Setting, part: Part) -> None:
    ran(setting)
    setting.checkpoint.write_bytes(b"other weights")
    said, _ = ran(setting)
    assert "another model" in said[0]
    assert part.count == 2
    assert len(list(setting.out.glob("results*.json"))) == 2


def test_a_part_that_fails_is_reported_and_tried_again(setting: Setting, part: Part) -> None:
    part.error = "no room"
    said, _ = ran(setting)
    assert "[1/1] commands: failed: no room" in said
    part.error = ""
    ran(setting)
    assert "commands" in results.read(setting.out / "results.json")["parts"]


def test_results_go_into_the_repository_only_if_complete_and_from_a_clean_commit(
    monkeypatch: pytest.MonkeyPatch, setting: Setting, results: dict[str, Any], tmp_path: Path
) -> None:
    monkeypatch.setattr(run, "ROOT", tmp_path)
    (tmp_path / RESULTS).parent.mkdir()
    setting.out.mkdir()
    results["setting"] |= {"commit": "0123456789ab", "quick": False}
    for part in results["parts"].values():
        part["failed"] = {}

    def written(change: dict[str, Any]) -> tuple[bool, str]:
        said: list[str] = []
        run.write_page(setting, {**results, **change}, said.append)
        path = tmp_path / RESULTS
        done = path.exists()
        path.unlink(missing_ok=True)
        return done, said[-1]

    assert written({})[0]
    dirty = {**results["setting"], "commit": "0123456789ab+changes"}
    assert written({"setting": dirty}) == (False, _refusal(setting, "the tree has uncommitted changes"))
    quick = {**results["setting"], "quick": True}
    assert written({"setting": quick}) == (False, _refusal(setting, "they were measured with --quick"))
    fewer = {name: part for name, part in results["parts"].items() if name != "bulk"}
    assert written({"parts": fewer}) == (False, _refusal(setting, "not measured completely: bulk"))


def _refusal(setting: Setting, reason: str) -> str:
    return f"wrote {setting.out / 'RESULTS.md'}, but not {RESULTS}: {reason}"


def test_the_results_page_names_one_machine_model_and_commit_and_has_every_table(results: dict[str, Any]) -> None:
    page = results_page.page(results)
    setting = results["setting"]
    for fact in (setting["machine"]["processor"], setting["commit"], setting["model"]["file_sha256"][:12]):
        assert page.count(fact) == 1
    assert "- Measured: 2026-01-02\n" in page
    for name, part in results["parts"].items():
        assert f"## {name}\n" in page
        assert run.lines(name, part)
        for table in module(name).tables(part):
            assert table.markdown() in page
    for text in (
        "openvino is not installed",
        "<out of memory>",
        "times as fast as MindSpore",
        "other programs used 2%",
    ):
        assert text in page
