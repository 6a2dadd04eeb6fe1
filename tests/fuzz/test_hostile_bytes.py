"""Hostile checkpoints and model files: `pytest -m fuzz`, some minutes on two cores."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from avatar_export.formats.ort_file import convert
from tiny_model import tiny_arrays, tiny_weights, write_tiny_model

INPUTS = {"ckpt": 20_000, "safetensors": 20_000, "onnx": 12_000, "ort": 3_000}
"""How many of each kind: 55,000. An .ort is beyond what was asked: onnxruntime reads flatbuffers as carefully."""
SEED = int(os.environ.get("FUZZ_SEED", "0"))

pytestmark = pytest.mark.fuzz


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small sound file of each kind."""
    mindspore = pytest.importorskip("mindspore")
    folder = tmp_path_factory.mktemp("sound")
    entries = [{"name": name, "data": mindspore.Tensor(a)} for name, a in tiny_arrays(32, 1, 3, 4).items()]
    for kind in ("ckpt", "safetensors"):
        mindspore.save_checkpoint(entries, str(folder / f"sound.{kind}"), format=kind)
    spec = write_tiny_model(folder / "sound.onnx", tiny_weights(32, 1, 3, 4))
    model = onnx.load(folder / "sound.onnx")
    onnx.helper.set_model_props(model, replace(spec, golden=None).to_metadata())  # or half of the file were pictures
    onnx.save(model, folder / "sound.onnx")
    (folder / "sound.ort").write_bytes(convert((folder / "sound.onnx").read_bytes())[0])
    return folder


@pytest.mark.parametrize("kind", INPUTS)
def test_no_bytes_do_harm(tmp_path: Path, sound: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    """No traceback, no crash, no input that takes over 10 s or 1 GiB, and no file but the input itself."""
    tried, home = tmp_path / "tried", tmp_path / "home"
    tried.mkdir()
    home.mkdir()
    arguments = [kind, str(sound / f"sound.{kind}"), str(SEED), str(INPUTS[kind]), str(tried)]
    worker = Path(__file__).with_name("worker.py")
    command = [sys.executable, str(worker), *arguments]
    environment = {"HOME": str(home), "TMPDIR": str(home), "GLOG_v": "4", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        command, cwd=home, env={**os.environ, **environment}, capture_output=True, text=True, timeout=3600, check=False
    )
    if done.returncode:
        cause = signal.Signals(-done.returncode).name if done.returncode < 0 else done.stderr.strip()
        pytest.fail(f"{tried / f'input.{kind}'}: {cause}")
    assert [path.name for path in tried.iterdir()] == [f"input.{kind}"]
    assert not list(home.iterdir())
    with capsys.disabled():
        sys.stdout.write(f"\n{kind}: {done.stdout.strip()}, seed {SEED}")
