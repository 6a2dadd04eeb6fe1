"""Results as `python -m benchmarks` writes them, made up."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.suite import bulk, cold_start, latency, memory, quality, training
from benchmarks.suite.samples import exactly, ratio
from benchmarks.suite.setting import Setting


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
    """One round of every part that needs no picture."""
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
            "rows": {"int8.onnx": {**quality.difference(faces[0], faces[1]), "same_as": "int8.onnx"}},
            "varied": {"int8.onnx": [{"what": "batch 1", "changed": 0.0, "from_usual": 0, "from_original": 7}]},
            "kid": {"features": "f.onnx", "faces": 9, "sets": {"int8.onnx": {"real faces": [0.04, 0.002]}}},
            "pictures": {"worst-int8.onnx.png": "The worst."},
            "failed": {"fp16.onnx": "differs"},
        },
        "cold-start": {"turns": {cold_start.IMPORTS: turns(0.1), "avatar-gen --count 64": turns(0.2)}, "failed": {}},
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
        "memory": {"peaks": {memory.IMPORTS: exactly(80).to_dict(), "avatar-gen": exactly(99).to_dict()}, "failed": {}},
        "training": {
            "recipe": "edge",
            "turns": {training.OURS: turns(0.2), "PyTorch eager": turns(0.1)},
            "around": {"inside": 0.2, "between": 0.001, "tick": 0.7, "every": 200, "share": 0.02},
            "memory": {"decoded": 400, "ticked": [1800, 1801], "peak": 1900},
            "failed": {},
        },
    }  # fmt: skip
    about = {"finished": "2026-01-02T03-04-05", "seconds": 7, "load": {"average": 0.1, "busy": 0.02}, "ratios": {}}
    parts = {name: {**about, **part} for name, part in found.items()}
    return json.loads(json.dumps({"format": 1, "setting": setting.to_dict(), "parts": parts}))  # type: ignore[no-any-return]  # of JSON
