"""The choice of device and of a job, against a stand-in for MindSpore: no machine here has an Ascend or a GPU."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from avatar_runtime.errors import InputError
from avatar_training import cuda, device, device_check
from avatar_training.errors import TrainingError

from .conftest import avatar_train, refused


class FakeMindSpore(ModuleType):
    """What device.py calls, with the devices of an imagined machine; `calls` are what it was asked to do."""

    __version__ = "2.10.0"
    GRAPH_MODE = "graph"

    def __init__(self, *devices: str) -> None:
        super().__init__("mindspore")
        self.devices, self.calls = devices, list[Any]()
        self.hal = SimpleNamespace(is_available=lambda target: target in devices)
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


@pytest.mark.parametrize(("only_products", "isa"), [(True, "DEFAULT"), (False, "AVX2")])
def test_onednn_computes_convolutions_with_avx2_and_products_with_what_the_cpu_has(
    only_products: bool, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, "CPU")
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    device.select("CPU", only_products)
    assert os.environ["ONEDNN_MAX_CPU_ISA"] == isa


@pytest.mark.parametrize("target", ["CPU", "GPU", "Ascend"])
def test_a_named_device_is_taken_or_its_absence_said(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "CPU", "GPU", "Ascend")
    assert device.select(target) == target
    install(monkeypatch)
    with pytest.raises(InputError, match=f"has no {target} here"):
        device.select(target)


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


@pytest.mark.parametrize(("target", "blocks"), [("CPU", "1"), ("Ascend", None)])
def test_only_on_a_cpu_do_readers_sleep_until_a_result_is_there(
    target: str, blocks: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, "CPU", "Ascend")
    device.select(target)
    assert os.environ.get("MS_DEV_HOST_BLOCKING_RUN") == blocks


PLUGINS = Path((find_spec("mindspore") or SimpleNamespace(origin="")).origin or "").parent / "lib/plugin"
HAS_GCC = pytest.mark.skipif(not shutil.which("gcc") or not shutil.which("nm"), reason="needs gcc and nm")
HAS_PLUGIN = pytest.mark.skipif(not (PLUGINS / cuda.PLUGIN).exists(), reason="MindSpore's wheel has no GPU plugin here")


def library(path: Path, source: str) -> None:
    """A library in C, with its symbols in a version of its own name, as NVIDIA's have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    script = path.parent / "versions.map"
    script.write_text(f"{path.name} {{ global: *; }};")
    command = ["gcc", "-w", "-shared", "-fPIC", f"-Wl,-soname,{path.name}", f"-Wl,--version-script={script}"]
    subprocess.run([*command, "-o", path, "-x", "c", "-"], input=source, text=True, check=True, timeout=60)


def undefined(pattern: str) -> set[str]:
    """The functions that MindSpore's plugin takes from other libraries."""
    files = [PLUGINS / cuda.PLUGIN, PLUGINS / "gpu/libcuda_ops.so.11"]
    listed = subprocess.run(["nm", "-D", "--undefined-only", *files], capture_output=True, text=True, timeout=60)
    return set(re.findall(rf"\bU ({pattern}\w*)", listed.stdout))


def install_driver(folder: Path, status: int = 0, count: int = 1, version: int = 12040) -> None:
    """NVIDIA's driver, as far as it is asked here. Whatever else MindSpore may ask of it fails."""
    source = (
        f"int cuInit(unsigned f) {{ return {status}; }} int cuDeviceGetCount(int *n) {{ *n = {count}; return 0; }}"
        f"int cuDriverGetVersion(int *v) {{ *v = {version}; return 0; }}"
        'int cuDeviceGetName(char *s, int n, int d) { strcpy(s, "Tiny GPU"); return 0; }'
    )
    library(
        folder / "libcuda.so.1", source + "".join(f"int {name}() {{ return 999; }}" for name in undefined("cu[A-Z]"))
    )


def install_wheels(folder: Path) -> None:
    """What pip brings, with functions that fail."""
    source = "".join(f"int {name}() {{ return 1; }}" for name in undefined("(?:cu[a-z]|nvrtc)"))
    for name in cuda.LIBRARIES.values():
        library(folder / "nvidia" / name, source)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without a driver and without wheels: the place for libcuda.so.1 and nvidia/."""
    for name in ("CUDA_HOME", "CUDA_MODULE_LOADING", "CUDA_CACHE_MAXSIZE", "LD_LIBRARY_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(cuda, "DRIVER", str(tmp_path / "libcuda.so.1"))
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("mindspore", "nvidia"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_a_machine_without_a_driver_is_told_so(machine: Path) -> None:
    result = avatar_train("--check-device", "--device-target", "GPU")
    refused(result, "there is no NVIDIA driver here (", "libcuda.so.1: cannot open", code=2)
    device.prepare("auto")
    device.prepare("CPU")
    assert "CUDA_HOME" not in os.environ


@HAS_GCC
@pytest.mark.parametrize(
    ("has", "message"),
    [
        ({"status": 100}, r"finds no GPU \(CUDA's error 100\)"),
        ({"count": 0}, "finds no GPU"),
        ({"version": 10020}, r"too old \(Tiny GPU, driver for CUDA 10.2\)"),
    ],
)
def test_a_driver_that_cannot_serve_is_told(machine: Path, has: dict[str, int], message: str) -> None:
    install_driver(machine, **has)
    with pytest.raises(InputError, match=message):
        device.prepare("GPU")
    device.prepare("auto")


@HAS_GCC
@HAS_PLUGIN
def test_what_is_missing_beside_the_driver_is_told_by_name(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_driver(machine)
    with pytest.raises(InputError) as told:
        device.prepare("GPU")
    assert str(told.value) == f'MindSpore needs {", ".join(cuda.LIBRARIES)} for a GPU: pip install "avatar-edge[gpu]"'
    monkeypatch.setenv("CUDA_HOME", "/usr/local/cuda")
    device.prepare("GPU")  # a CUDA of one's own: MindSpore judges it
    assert os.environ["CUDA_HOME"] == "/usr/local/cuda"
    assert "GPU: Tiny GPU, driver for CUDA 12.4; CUDA from /usr/local/cuda" in islice(device_check.check_device(), 2)
    monkeypatch.delenv("CUDA_HOME")
    install_wheels(machine)
    cudnn = machine / "nvidia" / cuda.LIBRARIES["nvidia-cudnn-cu11"]
    cudnn.rename(machine / "cudnn")
    with pytest.raises(InputError, match="MindSpore needs nvidia-cudnn-cu11 for a GPU"):
        device.prepare("GPU")
    cudnn.write_bytes((machine / "cudnn").read_bytes()[:100])
    with pytest.raises(
        InputError, match=r"nvidia-cudnn-cu11 is damaged \(.*\); install it again: pip install --force-r"
    ):
        device.prepare("GPU")
    module = ModuleType("mindspore")
    module.__spec__ = find_spec("mindspore")
    monkeypatch.setitem(sys.modules, "mindspore", module)
    with pytest.raises(InputError, match="imported already"):
        device.prepare("GPU")
    monkeypatch.setattr(cuda, "PLUGIN", "libmindspore_gpu.so.12.9")
    with pytest.raises(InputError, match="this MindSpore has no plugin for GPUs"):
        device.prepare("GPU")
    assert "CUDA_HOME" not in os.environ


@HAS_GCC
@HAS_PLUGIN
@pytest.mark.timeout(300)
def test_with_driver_and_wheels_mindspore_loads_its_plugin(machine: Path) -> None:
    install_driver(machine)
    install_wheels(machine)
    code = (
        "import os; from avatar_training import device; device.prepare('GPU'); from mindspore import hal;"
        "print(hal.is_available('GPU'), os.environ['CUDA_MODULE_LOADING'], os.environ['CUDA_HOME'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(machine), "LD_LIBRARY_PATH": str(machine), "GLOG_v": "3"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=280)
    assert done.stdout.startswith("True LAZY "), done.stderr
    assert "not found" not in done.stderr
    assert not Path(done.stdout.split()[2]).exists(), "what it made for itself is gone"


def test_why_mindspore_did_not_load_its_plugin_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(target: str) -> None:
        raise RuntimeError("no GPU.\nLoad dynamic library: libmindspore_gpu.so.11.6 failed. libm.so.6: too old\n-----")

    monkeypatch.setattr(install(monkeypatch, "CPU"), "set_device", fail)
    with pytest.raises(
        InputError, match=r"no GPU here \(Load .*libmindspore_gpu.so.11.6 failed. libm.so.6: too old\);"
    ):
        device.select("GPU")


@pytest.mark.timeout(600)
@pytest.mark.skipif(not PLUGINS.exists(), reason="MindSpore has no wheel for this Python")
def test_check_device_computes_on_the_cpu() -> None:
    result = avatar_train("--check-device", "--device-target", "CPU")
    assert result.exit_code == 0, result.output
    found = re.search(r"^CPU: [\d.]+ s a step of 16 images in float32; losses (.*)$", result.stdout, re.MULTILINE)
    assert found is not None
    losses = [float(loss) for loss in re.findall(r"[GD] ([\d.]+)", found[1])]
    assert len(losses) == 6
    assert 0 < min(losses) <= max(losses) < 10


@pytest.mark.skipif(not PLUGINS.exists(), reason="MindSpore has no wheel for this Python")
@pytest.mark.parametrize(
    ("losses", "message"),
    [
        (((1.005, 0.5), (3.0, 0.7)), ""),
        (((1.02, 0.5), (2.0, 0.7)), r"the first step on GPU is not the CPU's: its losses differ by 0.02 of"),
        (((1.0, 0.5), (float("nan"), 0.7)), "a loss on GPU is not finite"),
    ],
)
def test_check_device_compares_a_gpu_with_the_cpu(
    machine: Path, monkeypatch: pytest.MonkeyPatch, losses: tuple[tuple[float, float], ...], message: str
) -> None:
    steps = {
        "auto": device_check.Steps("GPU", losses, 0.1),
        "CPU": device_check.Steps("CPU", ((1.0, 0.5), (2.0, 0.7)), 0.1),
    }
    monkeypatch.setattr(device_check, "_apart", steps.__getitem__)
    if message:
        with pytest.raises(TrainingError, match=message):
            list(device_check.check_device())
    else:
        assert list(device_check.check_device())[-1].endswith("step by step: 5.0e-03, 5.0e-01")


def test_a_device_that_ends_the_process_or_fails_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_check, "compute", os._exit)
    with pytest.raises(TrainingError, match=r"the process .* \(3\) crashed"):
        device_check._apart(3)  # type: ignore[arg-type]
    monkeypatch.setattr(device_check, "compute", exec)
    rule = "-" * 52
    said = f"{rule}\n- Cuda error:\n{rule}\nno memory\n\n{rule}\n- C++ Call Stack: (For developers)\n{rule}\nx.cc:1"
    with pytest.raises(TrainingError, match=r"no training step can be computed \(.*\): Cuda error: no memory$"):
        device_check._apart(f"raise RuntimeError({said!r})")
