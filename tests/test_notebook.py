"""examples/tour.ipynb runs from top to bottom (`pytest -m notebook`), and git has it without outputs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOUR = ROOT / "examples/tour.ipynb"


def test_it_is_kept_without_outputs() -> None:
    cells = json.loads(TOUR.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.notebook
def test_it_runs_from_top_to_bottom(tmp_path: Path) -> None:
    pytest.importorskip("mindspore", reason="MindSpore has no wheel for this Python")
    pytest.importorskip("nbmake", reason='needs pip install ".[dev]"')
    # The kernel is this Python, whatever kernels the machine has.
    subprocess.run(
        [sys.executable, "-m", "ipykernel", "install", "--prefix", tmp_path, "--name", "python3"], check=True
    )
    run = [sys.executable, "-m", "pytest", "--nbmake", "--nbmake-timeout=600", "--override-ini=addopts=", str(TOUR)]
    environment = {**os.environ, "JUPYTER_PATH": str(tmp_path / "share/jupyter")}
    done = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
