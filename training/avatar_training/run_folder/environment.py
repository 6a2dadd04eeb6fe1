"""Device, machine and versions that a run is computed with."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("avatar-edge", "mindspore", "numpy", "onnxruntime", "pillow")


def environment(device: str) -> dict[str, str]:
    """Name -> value, for people and for config.json."""
    found = {
        "device": device,
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a checkout that is not installed
            continue
    return found
