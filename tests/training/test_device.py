"""The choice of device and of a job, against a stand-in for MindSpore: no machine here has an Ascend or a GPU."""

import os
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from avatar_runtime.errors import InputError
from avatar_training import device


class FakeMindSpore(ModuleType):
    """What device.py calls, with the devices of an imagined machine; `calls` are what it was asked to do."""

    __version__ = "2.10.0"
    GRAPH_MODE = "graph"
    float16 = "float16"

    def __init__(self, *devices: str) -> None:
        super().__init__("mindspore")
        self.devices, self.calls = devices, list[Any]()
        self.hal = SimpleNamespace(is_available=lambda target: target in devices)
        self.amp = SimpleNamespace(auto_mixed_precision=lambda *arguments: self.calls.append(arguments))
        self.communication = SimpleNamespace(init=self.init, get_rank=lambda: 3, get_group_size=lambda: 8)

    def set_device(self, target: str) -> None:
        if target not in self.devices:
            raise RuntimeError("no such device in this build")
        self.calls.append(("set_device", target))

    def set_context(self, **settings: str) -> None:
        self.calls.append(settings)

    def init(self) -> None:
        self.calls.append("init")


@pytest.fixture(autouse=True)
def process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MS_ROLE", "MS_NODE_ID", "MS_WORKER_NUM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    monkeypatch.setenv("MS_DEV_HOST_BLOCKING_RUN", "")
    monkeypatch.delenv("MS_DEV_HOST_BLOCKING_RUN")


def install(monkeypatch: pytest.MonkeyPatch, *devices: str) -> FakeMindSpore:
    fake = FakeMindSpore(*devices)
    monkeypatch.setitem(sys.modules, "mindspore", fake)
    return fake


@pytest.mark.parametrize(
    ("devices", "taken"),
    [(["CPU"], "CPU"), (["CPU", "GPU"], "GPU"), (["CPU", "GPU", "Ascend"], "Ascend"), (["Ascend", "CPU"], "Ascend")],
)
def test_auto_takes_ascend_else_gpu_else_the_cpu_in_graph_mode(
    devices: list[str], taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = install(monkeypatch, *devices)
    assert device.select("auto") == taken
    assert fake.calls == [("set_device", taken), {"mode": "graph"}]


@pytest.mark.parametrize("target", ["CPU", "GPU", "Ascend"])
def test_a_named_device_is_taken_or_its_absence_said(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "CPU", "GPU", "Ascend")
    assert device.select(target) == target
    install(monkeypatch)
    with pytest.raises(InputError, match=f"has no {target} here"):
        device.select(target)


def test_without_msrun_a_process_is_alone_and_joins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install(monkeypatch, "CPU")
    assert device.join() == (0, 1)
    assert fake.calls == []
    assert device.is_leader()


def test_under_msrun_a_process_joins_and_worker_0_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install(monkeypatch, "CPU")
    monkeypatch.setenv("MS_ROLE", "MS_WORKER")
    with pytest.raises(InputError, match="--node_rank"):
        device.join()
    monkeypatch.setenv("MS_NODE_ID", "3")
    assert device.join() == (3, 8)
    assert fake.calls == ["init"]
    for role, rank, leads in [("MS_WORKER", "0", True), ("MS_WORKER", "3", False), ("MS_SCHED", "0", False)]:
        monkeypatch.setenv("MS_ROLE", role)
        monkeypatch.setenv("MS_NODE_ID", rank)
        assert device.is_leader() is leads


def test_a_job_that_does_not_come_together_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("timed out")

    install(monkeypatch, "CPU").communication.init = fail
    monkeypatch.setenv("MS_ROLE", "MS_WORKER")
    monkeypatch.setenv("MS_NODE_ID", "1")
    with pytest.raises(InputError, match="the job failed: timed out"):
        device.join()


def test_mixed_precision_is_mindspores_own_in_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install(monkeypatch, "GPU")
    device.mixed_precision("a network")
    assert fake.calls == [("a network", "auto", "float16")]


@pytest.mark.parametrize(("target", "blocks"), [("CPU", "1"), ("Ascend", None)])
def test_only_on_a_cpu_do_readers_sleep_until_a_result_is_there(
    target: str, blocks: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, "CPU", "Ascend")
    device.select(target)
    assert os.environ.get("MS_DEV_HOST_BLOCKING_RUN") == blocks
