"""Results as `python -m benchmarks` writes them, made up."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.suite import bulk, commands, image_difference, latency, training
from benchmarks.suite.results import FORMAT
from benchmarks.suite.setting import Setting
from benchmarks.suite.timing import exactly, ratio


def turns(seconds: float, rounds: int = 4, runs: int = 3) -> list[list[float]]:
    """Turns around so many seconds, always the same."""
    draw = np.random.default_rng(int(1e6 * seconds))
    return [[float(value) for value in turn] for turn in seconds * draw.uniform(0.98, 1.02, (rounds, runs))]


@pytest.fixture
def setting(tmp_path: Path, tiny_model: Path) -> Setting:
    """Of a tiny model; the checkpoint is a file of a few bytes, for nothing reads it."""
    checkpoint = tmp_path / "tiny.ckpt"
    checkpoint.write_bytes(b"weights")
    return Setting(checkpoint, tiny_model, tmp_path / "out", quick=True)


@pytest.fixture
def results(setting: Setting) -> dict[str, Any]:
    """Results of every part."""
    taken = {latency.LIMIT: 0.001, "MindSpore": 0.008, "avatar-edge int8": 0.0007}
    faces = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16, 3)).astype(np.uint8)
    rows = {batch: {name: turns(int(batch) * value) for name, value in taken.items()} for batch in ("1", "64")}
    found: dict[str, dict[str, Any]] = {
        "latency": {
            "turns": rows,
            "levels": {"MindSpore": 0, "avatar-edge int8": 7},
            "skipped": {"OpenVINO": "openvino is not installed; pip install openvino"},
            "failed": {"PyTorch eager": "RuntimeError: <out of memory>"},
            "ratios": {"int8, batch 1": ratio(rows["1"]["avatar-edge int8"], rows["1"]["MindSpore"]).to_dict()},
        },
        "parity": {
            "latents": 20,
            "rows": {"int8.onnx": {**image_difference.difference(faces[0], faces[1]), "same_as": "int8.onnx"}},
            "varied": {"int8.onnx": [{"what": "batch 1", "changed": 0.0, "from_usual": 0, "from_original": 7}]},
            "failed": {"fp16.onnx": "differs"},
        },
        "commands": {
            "turns": {commands.IMPORTS: turns(0.1), commands.GRID: turns(0.2)},
            "memory": {commands.IMPORTS: exactly(80).to_dict(), commands.GRID: exactly(99).to_dict()},
            "failed": {},
        },
        "bulk": {
            "count": 10,
            "turns": {bulk.BARE: turns(1), ".png": turns(2)},
            "one": {bulk.RUN: turns(0.001), bulk.CALL: turns(0.0012)},
        },
        "size": {
            "environments": {"avatar-edge": 1e8, "MindSpore, Pillow": 3e9},
            "models": {"checkpoint": 14_000_000, "int8.onnx": 3_500_000},
            "wheel": 4_000_000,
            "failed": {},
        },
        "training": {
            "recipe": "edge",
            "turns": {training.OURS: turns(0.2), "PyTorch eager": turns(0.1)},
            "run": {"step": 0.2, "snapshot": 0.7, "every": 200, "decoded": 400, "peak": 1900},
            "failed": {},
        },
    }  # fmt: skip
    about = {"finished": "2026-01-02T03-04-05", "seconds": 7, "load": {"average": 0.1, "busy": 0.02}, "ratios": {}}
    parts = {name: {**about, **part} for name, part in found.items()}
    return json.loads(json.dumps({"format": FORMAT, "setting": setting.to_dict(), "parts": parts}))  # type: ignore[no-any-return]  # of JSON
