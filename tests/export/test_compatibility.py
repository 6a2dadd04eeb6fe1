"""The oldest onnxruntime that the package allows loads what is exported, and draws the same.

`pytest -m compatibility` makes a virtual environment of Python 3.10 with it, from the package index.
"""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import avatar_runtime
from avatar_runtime import AvatarGenerator
from avatar_runtime.generator import embedded_model
from tiny_model import tiny_weights, write_tiny_model

DRAW = """
import sys
import numpy as np, onnxruntime
from avatar_runtime import AvatarGenerator
np.save(sys.argv[2], AvatarGenerator.load(sys.argv[1]).generate(64, seed="compatible"))
print(onnxruntime.__version__, np.__version__)
"""
LEVELS = {"fp32": 1, "fp16": 1, "int8": 0}
"""What the two may differ by: int8 computes in integers."""


@pytest.fixture(scope="module")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python with onnxruntime 1.17, numpy 1 and what else the runtime needs."""
    python = shutil.which("python3.10")
    # A version manager's stand-in is on PATH even where it has no such Python to run.
    if python is None or subprocess.run([python, "--version"], capture_output=True).returncode != 0:
        pytest.skip("no python3.10 on PATH runs, the newest that onnxruntime 1.17 and this package share with numpy 1")
    folder = tmp_path_factory.mktemp("oldest")
    subprocess.run([python, "-m", "venv", folder], check=True)
    needs = ["onnxruntime==1.17.*", "numpy<2", "pillow", "click>=8.2"]
    subprocess.run([folder / "bin/python", "-m", "pip", "install", "--quiet", *needs], check=True)
    return folder / "bin/python"


@pytest.mark.compatibility
@pytest.mark.parametrize("precision", [*LEVELS, "embedded"])
def test_the_oldest_onnxruntime_draws_the_same(tmp_path: Path, oldest: Path, precision: str) -> None:
    model = embedded_model()
    if precision != "embedded":
        model = tmp_path / "tiny.onnx"
        write_tiny_model(model, tiny_weights(64, 16), precision=precision)
    drawn = tmp_path / "drawn.npy"
    room = Path(avatar_runtime.__file__).parents[1]
    told = subprocess.run(
        [oldest, "-c", DRAW, model, drawn],
        env={**os.environ, "PYTHONPATH": str(room)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.startswith("1.17.")
    assert " 1." in told.stdout
    generator = AvatarGenerator.load(model)
    difference = np.abs(np.load(drawn).astype(int) - generator.generate(64, seed="compatible"))
    assert difference.max() <= LEVELS[generator.spec.precision]
    assert (difference > 0).mean() < 0.001
