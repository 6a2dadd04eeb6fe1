"""The device MindSpore computes on, its mixed precision, and the other workers of a job.

Only this file calls what a machine with a CPU alone cannot run: what MindSpore documents for Ascend and GPU. How
MindSpore finds CUDA is in cuda.py.
"""

import os
import re
from typing import Any

from avatar_runtime.errors import InputError
from avatar_training import cuda

TARGETS = ("Ascend", "GPU", "CPU")
"""Devices, in the order in which `auto` tries them."""

LOSS_SCALE = "loss_scale."
"""Prefix of the names of a loss scaler's parameters."""


def prepare(target: str = "auto") -> None:
    """Let MindSpore find CUDA. Call it before MindSpore is imported, for MindSpore looks for devices then.

    Raises InputError if the target is GPU and something is missing.
    """
    if target in ("auto", "GPU"):
        try:
            cuda.provide()
        except InputError:
            if target == "GPU":
                raise


def select(target: str = "auto", only_products: bool = False) -> str:
    """Make MindSpore compile graphs for a device, and return it: CPU, GPU or Ascend, or the first found for auto.

    Call it after `prepare` and before anything else of MindSpore. only_products says that what a CPU will compute has
    no convolutions of MindSpore's, only matrix products. Raises InputError if this machine has no such device.
    """
    if target in ("auto", "CPU"):
        # oneDNN has no AVX-512 kernel for plain NCHW convolutions and uses reference loops: a training step takes 13 s
        # instead of 0.5 s. With AVX2 it uses matrix products, which by themselves are faster with AVX-512. It reads the
        # variable on first use.
        os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "DEFAULT" if only_products else "AVX2")
    import mindspore
    from mindspore import hal

    if target == "auto":
        target = next(candidate for candidate in TARGETS if candidate == "CPU" or hal.is_available(candidate))
    try:
        mindspore.set_device(target)
    except (RuntimeError, ValueError, TypeError) as err:
        plugin = re.search(r"Load dynamic library: libmindspore_gpu.*", str(err)) if target == "GPU" else None
        raise InputError(
            f"MindSpore {mindspore.__version__} has no {target} here{f' ({plugin[0]})' if plugin else ''}; "
            "install the build for it or choose another device"
        ) from err
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    if target == "CPU":
        # Otherwise the thread that waits for a result spins, which costs a third of two cores in each step. MindSpore
        # reads the variable when a graph first runs.
        os.environ.setdefault("MS_DEV_HOST_BLOCKING_RUN", "1")
    return target


def describe(target: str, amp: bool, workers: int) -> str:
    """The devices of a run in words."""
    devices = target if workers == 1 else f"{workers} workers, {target}"
    return f"{devices} in mixed precision" if amp else devices


def under_msrun() -> bool:
    """Whether msrun started this process."""
    return "MS_ROLE" in os.environ


def is_leader() -> bool:
    """Whether this process leads its job: it is the only one, or msrun's worker 0. Needs no MindSpore."""
    return not under_msrun() or (not is_scheduler() and os.environ.get("MS_NODE_ID") == "0")


def worker_count() -> int:
    """Number of workers of the job; 1 without msrun."""
    return int(os.environ.get("MS_WORKER_NUM", "1")) if under_msrun() else 1


def is_scheduler() -> bool:
    """Whether this process is msrun's scheduler, which connects the workers and does no work."""
    return os.environ.get("MS_ROLE") == "MS_SCHED"


def join() -> tuple[int, int]:
    """Join the job that msrun started this process for. Call it after `select` and before any tensor is made.

    It returns rank and number of workers, (0, 1) without msrun, when all have joined, for which they have ten minutes
    (msrun's --cluster_time_out). In msrun's scheduler it does not return. Raises InputError if the workers do not find
    one another.
    """
    if not under_msrun():
        return 0, 1
    if not is_scheduler() and "MS_NODE_ID" not in os.environ:
        raise InputError(
            "msrun has not numbered this worker; pass --node_rank to msrun, with another number on each machine"
        )
    from mindspore import communication

    try:
        communication.init()
    except (RuntimeError, ValueError) as err:
        raise InputError(f"the job failed: {err}") from err
    return communication.get_rank(), communication.get_group_size()


def mixed_precision(network: Any) -> Any:
    """Let a network (nn.Cell) compute convolutions and matrix products in float16 and everything else in float32.

    Weights and their gradients stay float32; the output may be float16.
    """
    import mindspore
    from mindspore import amp

    return amp.auto_mixed_precision(network, "auto", mindspore.float16)


def loss_scaler(name: str) -> Any:
    """A mindspore.amp.DynamicLossScaler whose two parameters, scale_value and counter, have unique names.

    It starts at 65,536, halves when gradients overflow and doubles after 2,000 steps without overflow: P. Micikevicius
    et al., "Mixed Precision Training", ICLR 2018, section 3.2, with the values in common use.
    """
    from mindspore import amp

    scaler = amp.DynamicLossScaler(scale_value=2**16, scale_factor=2, scale_window=2000)
    for parameter in (scaler.scale_value, scaler.counter):
        parameter.name = f"{LOSS_SCALE}{name}.{parameter.name}"
    return scaler
