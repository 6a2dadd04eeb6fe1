from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatar_export.graph import plain_graph
from benchmarks.suite.cold_start import process
from benchmarks.suite.memory import peak
from benchmarks.suite.models import PLAIN
from benchmarks.suite.samples import TurnError
from tiny_model import tiny_weights


def test_the_peak_of_a_process_is_its_own() -> None:
    held = np.ones(40_000_000)  # 320 MB in this process, which starts the other
    assert 5 < peak(["-c", "import numpy"]) < 250
    assert held[-1] == 1


def test_what_ends_with_an_error_says_its_last_line() -> None:
    with pytest.raises(TurnError, match=r"ended with 2: Error: .*--count"):
        process(["-m", "avatar_runtime", "--count", "none"])


def test_the_naive_script_draws_a_grid(tmp_path: Path) -> None:
    (tmp_path / PLAIN).write_bytes(plain_graph(tiny_weights()).SerializeToString())
    (taken,) = process(["-m", "benchmarks.suite.programs.grid_onnxruntime", str(tmp_path), str(tmp_path / "grid.png")])
    assert taken > 0
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (256, 256)
