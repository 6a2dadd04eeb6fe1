"""CUDA for MindSpore's GPU plugin, out of pip's wheels.

MindSpore's wheel for Linux on x86-64 carries a plugin for CUDA 11.6. MindSpore loads it while it is imported, and only
if `bin/nvcc` in CUDA_HOME says that it is of release 11.6. The plugin names its libraries without a folder. The wheels
of the extra `gpu` hold these libraries but no such folder, and the system does not look into wheels. So here the
libraries are loaded first, by their paths, and CUDA_HOME becomes a folder that says what MindSpore asks.
"""

import atexit
import ctypes
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from avatar_runtime.errors import InputError

DRIVER = "libcuda.so.1"
"""The library of NVIDIA's driver."""

PLUGIN = "libmindspore_gpu.so.11.6"
"""MindSpore's plugin."""

LIBRARIES = {
    "nvidia-cuda-runtime-cu11": "cuda_runtime/lib/libcudart.so.11.0",
    "nvidia-cublas-cu11": "cublas/lib/libcublas.so.11",
    "nvidia-cudnn-cu11": "cudnn/lib/libcudnn.so.8",
    "nvidia-cufft-cu11": "cufft/lib/libcufft.so.10",
    "nvidia-curand-cu11": "curand/lib/libcurand.so.10",
    "nvidia-cusparse-cu11": "cusparse/lib/libcusparse.so.11",
    "nvidia-cusolver-cu11": "cusolver/lib/libcusolver.so.11",
    "nvidia-cuda-nvrtc-cu11": "cuda_nvrtc/lib/libnvrtc.so.11.2",
}
"""What the plugin names, by the wheel that holds it; each after those that it needs."""

_VERSIONS = {
    "nvidia-cuda-runtime-cu11": ("libcudart.so.11.0", "libcudart.so.11.6.124"),
    "nvidia-cudnn-cu11": ("libcudnn.so.8",),
}
"""Names that MindSpore looks for in the folder of CUDA, to read the versions off them."""

_NVCC = '#!/bin/sh\necho "Cuda compilation tools, release 11.6, V11.6.124"\n'


def find_gpu() -> str:
    """Ask NVIDIA's driver for the first GPU: its name and the CUDA version of the driver, in words.

    Raises InputError if there is no driver, it finds no GPU, or it is too old.
    """
    # CUDA reads them when it starts. Kernels are loaded when they are first called; the plugin holds 800 MB of them,
    # which a newer GPU compiles for itself and which should be kept.
    os.environ.setdefault("CUDA_MODULE_LOADING", "LAZY")
    os.environ.setdefault("CUDA_CACHE_MAXSIZE", str(2**32))
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError as err:
        raise InputError(f"there is no NVIDIA driver here ({err}); install it, or choose another device") from err
    count, version, name = ctypes.c_int(), ctypes.c_int(), ctypes.create_string_buffer(200)
    status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if status or not count.value:
        raise InputError(f"the NVIDIA driver finds no GPU (CUDA's error {status}); choose another device")
    driver.cuDriverGetVersion(ctypes.byref(version))
    driver.cuDeviceGetName(name, len(name), 0)
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    words = f"{name.value.decode(errors='replace')}, driver for CUDA {cuda}"
    if version.value < 11000:
        raise InputError(f"the NVIDIA driver is too old ({words}); MindSpore needs one for CUDA 11 or later")
    return words


def find_libraries() -> Mapping[str, Path]:
    """Find what the plugin needs in the wheels: libraries by package.

    None where wheels are missing and CUDA_HOME names the user's own CUDA. Raises InputError if MindSpore has no plugin
    here, or wheels are missing.
    """
    mindspore = find_spec("mindspore")
    folders = mindspore.submodule_search_locations if mindspore else None
    if not any(Path(folder, "lib/plugin", PLUGIN).exists() for folder in folders or ()):
        raise InputError("this MindSpore has no plugin for GPUs; its wheels for Linux on x86-64 have one")
    nvidia = find_spec("nvidia")
    wheels = [Path(folder) for folder in (nvidia and nvidia.submodule_search_locations) or ()]
    found = {}
    for package, name in LIBRARIES.items():
        if path := next((wheel / name for wheel in wheels if (wheel / name).exists()), None):
            found[package] = path
    if missing := [package for package in LIBRARIES if package not in found]:
        if "CUDA_HOME" in os.environ:
            return {}
        raise InputError(f'MindSpore needs {", ".join(missing)} for a GPU: pip install "avatar-edge[gpu]"')
    return found


def provide() -> None:
    """Load the libraries and set CUDA_HOME, so that MindSpore finds them when it is imported.

    Raises InputError if there is no GPU, something is missing or damaged, or MindSpore has been imported already.
    """
    find_gpu()
    libraries = find_libraries()
    if not libraries:
        return  # MindSpore judges the user's own CUDA
    if "mindspore" in sys.modules:
        raise InputError("MindSpore has been imported already, and looks for a GPU only then: prepare the device first")
    for package, path in libraries.items():
        try:
            ctypes.CDLL(str(path))
        except OSError as err:
            raise InputError(
                f"{package} is damaged ({err}); install it again: pip install --force-reinstall {package}"
            ) from err
    home = Path(tempfile.mkdtemp(prefix="cuda-11.6-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    for folder in ("bin", "lib64"):
        (home / folder).mkdir()
    (home / "bin/nvcc").write_text(_NVCC)
    (home / "bin/nvcc").chmod(0o755)
    for package, names in _VERSIONS.items():
        for name in names:
            (home / "lib64" / name).symlink_to(libraries[package])
    os.environ["CUDA_HOME"] = str(home)
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, (f"{home}/lib64", os.environ.get("LD_LIBRARY_PATH"))))
