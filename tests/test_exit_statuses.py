"""The exit statuses that docs/terminal.md lists are those of the commands."""

import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

ROOT = Path(__file__).parents[1]
LINES = {
    0: ["avatar-gen alice", "avatar-gen --help", "avatar-gen --check", "avatar-gen models", "avatar-serve --version"],
    1: [
        "avatar-gen alice --model missing.onnx",
        "avatar-gen alice --out missing/alice.png",
        "avatar-gen old",
        "avatar-gen alice --provider NoSuchProvider",
        "avatar-serve --model missing.onnx --port 0",
        "avatar-export --inspect missing.onnx",
        "avatar-train --resume",
    ],
    2: [
        "avatar-gen",
        "avatar-gen --count 0",
        "avatar-gen --no-such-option",
        "avatar-gen --reproduce old.png",
        "avatar-gen models fetch",
        "avatar-serve --port 70000",
        "avatar-serve --host 203.0.113.1 --port 0",
        "avatar-export --target desktop a --out b.onnx",
        "avatar-train",
    ],
}
"""Status -> lines that end with it, in a folder with old.png, which is no picture."""


def program(name: str) -> str:
    found = shutil.which(name, path=sysconfig.get_path("scripts"))
    assert found is not None
    return found


def test_the_document_lists_the_statuses_that_are_tested_here() -> None:
    rows = re.findall(r"^\| (\d+) \|", (ROOT / "docs/terminal.md").read_text(), re.MULTILINE)
    assert sorted(map(int, rows)) == [*LINES, 130, 143]


@pytest.mark.parametrize(("status", "line"), [(status, line) for status, lines in LINES.items() for line in lines])
def test_a_line_ends_with_its_status(tmp_path: Path, status: int, line: str) -> None:
    (tmp_path / "old.png").write_bytes(b"old")
    name, *words = line.split()
    done = subprocess.run(
        [program(name), *words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    if find_spec("mindspore") is None and name in ("avatar-export", "avatar-train"):
        assert done.returncode in (1, 2)
        return
    assert done.returncode == status, done.stderr
    assert done.stderr.count("Error: ") == (status != 0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals between processes")
@pytest.mark.parametrize(("number", "statuses"), [(signal.SIGINT, {130}), (signal.SIGTERM, {-15, 143})])
def test_a_service_that_is_stopped(number: signal.Signals, statuses: set[int]) -> None:
    with subprocess.Popen([program("avatar-serve"), "--port", "0"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "serving" in process.stderr.readline()
        process.send_signal(number)
        assert process.wait(60) in statuses  # a shell says 143 of a process that SIGTERM ends


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals between processes")
@pytest.mark.skipif(find_spec("mindspore") is None, reason="MindSpore has no wheel for this Python")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, status: int
) -> None:
    from avatar_training import cli, loop

    def stopped(config: object, out: Path, *, should_stop: Callable[[], bool], **_: object) -> loop.Result:
        assert not should_stop()
        signal.raise_signal(number)
        assert should_stop()
        return loop.Result(out, 1, finished=False)

    monkeypatch.setattr(loop, "train", stopped)
    result = CliRunner().invoke(cli.main, ["--data", "d.zip", "--out", str(tmp_path / "run")])
    assert result.exit_code == status, result.output
    assert "stopped; continue with: avatar-train --resume" in result.stdout
