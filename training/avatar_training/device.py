"""The device MindSpore computes on."""

import os

from avatar_runtime.errors import InputError

TARGETS = ("Ascend", "GPU", "CPU")
"""Devices in the order in which `auto` takes them."""


def select(target: str = "auto") -> str:
    """Make MindSpore compile graphs for a target (CPU, GPU, Ascend or auto) and say which it is.

    Call it before anything else of MindSpore runs. Raises InputError if the device is not there.
    """
    if target in ("auto", "CPU"):
        # For plain NCHW convolutions oneDNN has no AVX-512 kernel and falls back to its reference loops: a training
        # step of 0.5 s takes 13 s. Under AVX2 it uses matrix products. It reads the variable when first used.
        os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
    import mindspore
    from mindspore import hal

    if target == "auto":
        target = next(candidate for candidate in TARGETS if candidate == "CPU" or hal.is_available(candidate))
    try:
        mindspore.set_device(target)
    except (RuntimeError, ValueError, TypeError) as err:
        raise InputError(
            f"MindSpore {mindspore.__version__} has no {target} here; install the build for it or choose another device"
        ) from err
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    return target
