"""Device, machine and versions that a run is computed with."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("avatar-edge", "mindspore", "numpy", "onnxruntime", "pillow")


def environment(device: str) -> dict[str, str]:
    """Name -> value, for people and for config.json."""
    machine = f"{platform.machine()}, {os.cpu_count()} processors, {platform.system()} {platform.release()}"
    return {"device": device, "machine": machine, "python": platform.python_version(), **versions(PACKAGES)}


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Name -> version of those packages that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # avatar-edge, too, may be a checkout that is not installed
            continue
    return found
