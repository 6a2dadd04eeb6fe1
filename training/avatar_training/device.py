"""The device MindSpore computes on, its mixed precision, and the other workers of a job.

What cannot be run on a machine with a CPU alone is here: calls that MindSpore documents for Ascend and GPU, and nothing
else. `distributed` and `networks.gan` build on it.
"""

import os
from typing import Any

from avatar_runtime.errors import InputError

TARGETS = ("Ascend", "GPU", "CPU")
"""Devices in the order in which `auto` takes them."""

LOSS_SCALE = "loss_scale."
"""How the names of a loss scaler's parameters begin."""


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
    if target == "CPU":
        # Otherwise whoever reads a result spins until it is there and takes a processor from those who compute it: of
        # two cores a third, for as long as a step lasts. MindSpore reads the variable when a graph first runs.
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
    """Whether this process speaks for its job: the only one, or msrun's worker 0. Needs no MindSpore."""
    return not under_msrun() or (not is_scheduler() and os.environ.get("MS_NODE_ID") == "0")


def worker_count() -> int:
    """How many workers the job has; 1 without msrun."""
    return int(os.environ.get("MS_WORKER_NUM", "1")) if under_msrun() else 1


def is_scheduler() -> bool:
    """Whether this process is msrun's scheduler, which brings the workers together and does no work."""
    return os.environ.get("MS_ROLE") == "MS_SCHED"


def join() -> tuple[int, int]:
    """Join the job that msrun started this process for: (rank, number of workers), or (0, 1) without msrun.

    Call it after `select` and before any tensor is made; it returns when all workers are there, for which they have ten
    minutes (msrun's --cluster_time_out). In msrun's scheduler it does not return. Raises InputError if the workers do
    not find one another.
    """
    if not under_msrun():
        return 0, 1
    if not is_scheduler() and "MS_NODE_ID" not in os.environ:
        raise InputError("msrun has not said which worker this is; give it --node_rank, another one on each machine")
    from mindspore import communication

    try:
        communication.init()
    except (RuntimeError, ValueError) as err:
        raise InputError(f"the job failed: {err}") from err
    return communication.get_rank(), communication.get_group_size()


def mixed_precision(network: Any) -> Any:
    """The network (nn.Cell), from now on with convolutions and matrix products in float16 and all else in float32.

    Weights stay float32, and so do their gradients; the output may be float16.
    """
    import mindspore
    from mindspore import amp

    return amp.auto_mixed_precision(network, "auto", mindspore.float16)


def loss_scaler(name: str) -> Any:
    """A mindspore.amp.DynamicLossScaler with a name of its own for its two parameters, scale_value and counter.

    It begins at 65,536, halves when gradients overflow and doubles after 2,000 steps in which none did: P. Micikevicius
    et al., "Mixed Precision Training", ICLR 2018, section 3.2, with the figures in use since.
    """
    from mindspore import amp

    scaler = amp.DynamicLossScaler(scale_value=2**16, scale_factor=2, scale_window=2000)
    for parameter in (scaler.scale_value, scaler.counter):
        parameter.name = f"{LOSS_SCALE}{name}.{parameter.name}"
    return scaler
