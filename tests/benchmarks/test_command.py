import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from benchmarks.__main__ import main
from benchmarks.suite import run
from benchmarks.suite.compare import regressions
from benchmarks.suite.setting import Setting


def slower(results: dict[str, Any], factor: float, wide: float = 0.0) -> dict[str, Any]:
    """The same results with all ratios of latency multiplied, in a range this much wider."""
    changed = copy.deepcopy(results)
    for row in changed["parts"]["latency"]["ratios"].values():
        row["median"] *= factor
        row["low"], row["high"] = (row[end] * factor * (1 + sign * wide) for end, sign in (("low", -1), ("high", 1)))
    return changed


@pytest.mark.parametrize(
    ("factor", "wide", "count"), [(1, 0, 0), (0.5, 0, 0), (1.3, 0, 1), (1.3, 0.4, 0), (1.04, 0, 0)]
)
def test_a_regression_is_more_than_the_noise(results: dict[str, Any], factor: float, wide: float, count: int) -> None:
    found = regressions(results, slower(results, factor, wide), ["latency"])
    assert len(found) == count
    assert all("int8, batch 1 was 0.0" in sentence for sentence in found)


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize(("factor", "status"), [(1.0, 0), (1.5, 1)])
def test_compare_exits_with_one_for_a_regression(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    setting: Setting,
    results: dict[str, Any],
    factor: float,
    status: int,
) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps(results))
    monkeypatch.setattr(run, "run", lambda *_: (slower(results, factor), {}))
    result = command("latency", "--compare", old, "--out", setting.out, "--checkpoint", setting.checkpoint)
    assert result.exit_code == status
    assert f"compared 1 ratios: {status} worse" in result.output
    assert ("latency: int8, batch 1 was" in result.output) == bool(status)


def test_a_failed_part_exits_with_one(monkeypatch: pytest.MonkeyPatch, setting: Setting) -> None:
    monkeypatch.setattr(run, "run", lambda *_: ({}, {"bulk": "no room"}))
    assert command("bulk", "--out", setting.out, "--checkpoint", setting.checkpoint).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["speed"], "'speed' is not one of 'latency', 'parity'"),
        (["--compare", "missing.json"], "File 'missing.json' does not exist"),
        (["--compare", __file__], "does not hold results of `python -m benchmarks`"),
        (["--checkpoint", Path(__file__).parent], "generator.ckpt does not exist"),
        (["--threads", "0"], "0 is not in the range"),
        (["--data", "missing.zip"], "Path 'missing.zip' does not exist"),
    ],
)
def test_bad_options_are_refused_in_a_sentence(arguments: list[str | Path], said: str) -> None:
    result = command(*arguments)
    assert result.exit_code != 0
    assert said in result.output
    assert "Traceback" not in result.output


def test_without_the_extra_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['scipy'] = None; from benchmarks.__main__ import main; main(['size'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == 'Error: scipy: not installed; pip install -e ".[bench]"\n'


def test_results_of_another_version_are_refused(tmp_path: Path, results: dict[str, Any]) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps({**results, "format": 99}))
    assert "another version" in command("--compare", old).output
