"""Fixtures that more than one room uses, and the time limits of the marked tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from file_server import FileServer, serving
from tiny_model import write_tiny_model

# All tests share a process, in which the first to compute would choose: see device.select.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")

TIME_LIMITS = {"workers": 300, "faults": 300, "slow": 900, "fuzz": 900, "ray": 300, "cpp": 300, "wheel": 900}
TIME_LIMITS |= {"compatibility": 600, "native": 3600, "service": 300, "stacks": 600}
TIME_LIMITS |= {"documents": 600, "notebook": 900, "packaging": 900}
"""Seconds for each test with a marker, instead of the limit in pyproject.toml."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        limits = [limit for marker, limit in TIME_LIMITS.items() if item.get_closest_marker(marker)]
        if limits and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(max(limits)))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of a tiny random generator: 32x32 RGB, latent 100, uint8 output."""
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    write_tiny_model(path)
    return path


@pytest.fixture
def file_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server of one file that can misbehave; pooch does not wait before it asks again."""
    pytest.importorskip("pooch")
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    with serving() as server:
        yield server
