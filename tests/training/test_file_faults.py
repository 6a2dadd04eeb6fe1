"""A run is killed, loses power or meets a full or broken disk at its system calls on files: `pytest -m faults`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled file layer, for LD_PRELOAD."""
    compiler = shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("the file layer needs Linux and gcc")
    library = tmp_path_factory.mktemp("layer") / "file_layer.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", HERE / "file_layer.c", "-o", library, "-ldl"], check=True)
    return library


@pytest.mark.faults
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", ["stops", "errors"])
def test_no_call_at_which_a_run_is_disturbed_loses_anything(
    layer: Path, pictures: Path, tmp_path: Path, mode: str
) -> None:
    done = subprocess.run(
        [sys.executable, HERE / "file_faults.py", mode, pictures, tmp_path],
        env={**os.environ, "LD_PRELOAD": str(layer), "GLOG_v": "4"},
        capture_output=True,
        text=True,
        timeout=1100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[0]) > 0
