from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatar_export.graph import plain_graph
from benchmarks.suite.commands import run_command
from benchmarks.suite.models import PLAIN
from benchmarks.suite.timing import TurnError
from tiny_model import tiny_weights


def test_the_peak_memory_of_a_command_excludes_the_process_that_started_it() -> None:
    held = np.ones(40_000_000)  # 320 MB in this process
    seconds, peak = run_command(["-c", "import numpy; print('a line')"])
    assert seconds > 0
    assert 5 < peak < 250
    assert held[-1] == 1


def test_a_command_that_fails_reports_its_last_line() -> None:
    with pytest.raises(TurnError, match=r"ended with 2: Error: .*--count"):
        run_command(["-m", "avatar_runtime", "--count", "none"])


def test_the_onnxruntime_script_draws_a_grid(tmp_path: Path) -> None:
    (tmp_path / PLAIN).write_bytes(plain_graph(tiny_weights()).SerializeToString())
    run_command(["-m", "benchmarks.suite.programs.grid_onnxruntime", str(tmp_path), str(tmp_path / "grid.png")])
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (256, 256)
