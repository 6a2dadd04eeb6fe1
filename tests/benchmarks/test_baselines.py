import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from avatar_export.graph import plain_graph
from benchmarks.baselines import OUR_FILES, Contender, networks
from benchmarks.suite import latency
from benchmarks.suite.models import PLAIN, Models
from benchmarks.suite.process import Process
from benchmarks.suite.setting import Setting
from benchmarks.suite.timing import TurnError
from tiny_model import plain_network, tiny_weights, write_tiny_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder, weights = tmp_path_factory.mktemp("models"), tiny_weights()
    onnx.save(plain_graph(weights), folder / PLAIN)
    write_tiny_model(folder / "fp32.onnx", weights)
    write_tiny_model(folder / "int8.onnx", tiny_weights(seed=1))
    return Models(folder, 100, (-1.0, 1.0), weights.architecture, 1, {}, {"fp32.onnx": 1, "int8.onnx": 5}, {})


def opened(base: float) -> Callable[[float], float]:
    """What a process opens in these tests."""
    if base < 0:
        raise ValueError("below\nzero")
    return lambda value: base + value


def called(function: Callable[[float], float], value: float) -> Any:
    """What is asked of it."""
    if value < 0:
        os._exit(3)
    return function(value), os.getpid()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="tells the state of a process as Linux does")
def test_a_process_is_stopped_except_while_it_works(tmp_path: Path) -> None:
    process = Process(opened, 1.0, log=tmp_path / "log.txt", threads=1)
    answer, pid = process.ask(called, 2.0)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
    assert answer == 3.0
    assert state(pid) == "T"
    assert process.ask(called, 5.0) == (6.0, pid)
    process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def test_a_failure_in_a_process_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TurnError, match="ValueError: below zero"):
        Process(opened, -1.0, log=tmp_path / "log.txt", threads=1)
    process = Process(opened, 1.0, log=tmp_path / "log.txt", threads=1)
    try:
        with pytest.raises(TurnError, match="TypeError"):
            process.ask(called, "text")
        with pytest.raises(TurnError, match="ended with 3"):
            process.ask(called, -1.0)
    finally:
        process.close()


def test_latency_is_measured_for_contenders_that_are_installed_and_agree(
    monkeypatch: pytest.MonkeyPatch, models: Models, setting: Setting
) -> None:
    chosen = [contender for contender in OUR_FILES if contender.file in ("fp32.onnx", "int8.onnx")]
    absent = Contender("X", networks.open_openvino, "no_such_package")
    monkeypatch.setattr(
        latency, "REFERENCE", Contender("reference", networks.open_onnxruntime, "onnxruntime", file=PLAIN)
    )
    monkeypatch.setattr(latency, "CONTENDERS", (*chosen, absent))
    monkeypatch.setattr(latency, "BATCHES", (1,))
    monkeypatch.setattr(latency, "RUNS", {1: (3, 1)})
    found = latency.measure(setting, lambda: models, lambda said: None)
    assert found["skipped"] == {"X": "no_such_package is not installed; pip install no_such_package"}
    assert "differs from the original by" in found["failed"]["avatar-edge int8"]
    assert {name: np.shape(row) for name, row in found["turns"]["1"].items()} == {
        "avatar-edge fp32": (3, 3),
        latency.LIMIT: (3, 3),
    }
    assert found["ratios"].keys() == {"avatar-edge fp32, batch 1, of float32 limit"}
    (table,) = latency.tables(found)
    assert [row[0] for row in table.rows] == [latency.LIMIT, "avatar-edge fp32", "avatar-edge int8"]


@pytest.mark.parametrize("added", [(), ("latent_map",), ("latent_map", "refined"), ("refined", "bounded")])
def test_pytorchs_network_is_the_checkpoints(added: tuple[str, ...]) -> None:
    torch = pytest.importorskip("torch")
    from benchmarks.baselines.pytorch import generator

    weights = tiny_weights(**dict.fromkeys(added, True))
    z = np.random.default_rng(0).standard_normal((4, 100)).astype(np.float32)
    with torch.inference_mode():
        images = generator(weights.arrays())(torch.from_numpy(z)[..., None, None]).numpy()
    np.testing.assert_allclose(images, plain_network(weights)(z), rtol=0, atol=1e-4)
