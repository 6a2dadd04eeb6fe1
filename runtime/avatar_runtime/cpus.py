"""How many CPUs and threads this process may use: fewer than the machine has, in a container or with an affinity.

onnxruntime only asks how many the machine has. In a container that may use 2 of 64 CPUs, its 64 threads wait for each
other and for the scheduler. The limits are those of the kernel's "Control Group v2", section CPU (`cpu.max`), and "CFS
Bandwidth Control" (`cpu.cfs_quota_us`, version 1).
"""

import os
import threading
from pathlib import Path, PurePosixPath

from avatar_runtime.errors import AvatarError, InputError

MAX_THREADS = 256
"""More threads than that only wait for each other."""


def check_threads(threads: int | None) -> None:
    """Raise InputError unless threads is None or from 1 to MAX_THREADS."""
    if threads is not None and not (type(threads) is int and 1 <= threads <= MAX_THREADS):
        raise InputError(f"threads must be from 1 to {MAX_THREADS}, not {threads!r}")


def check_can_start(threads: int) -> None:
    """Raise AvatarError unless this process may start so many more threads.

    Where it may start only some of its threads, onnxruntime hangs or calls the model damaged.
    """
    done = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(threads):
            thread = threading.Thread(target=done.wait, daemon=True)
            thread.start()
            started.append(thread)
    except (RuntimeError, MemoryError) as err:
        raise AvatarError(
            f"this process can start {len(started)} more threads and needs {threads}: "
            "use fewer threads, or raise its limits (ulimit -u, ulimit -v)"
        ) from err
    finally:
        done.set()
        for thread in started:
            thread.join()


def cpu_limit(root: Path = Path("/")) -> int:
    """How many CPUs this process may use, at least 1, fractions rounded up. root is the folder that holds /proc."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _groups(root) if (quota := _quota(folder)) is not None]
    return max(1, min([affinity, *(-int(-quota // 1) for quota in quotas)]))


def _groups(root: Path) -> list[Path]:
    """The folders of this process's control group and of those above it, each of which may limit it."""
    mount, folders = root / "sys/fs/cgroup", []
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            top = mount  # version 2
        elif "cpu" in controllers.split(","):
            top = mount / "cpu"
        else:
            continue
        # Inside a container the path may be the host's, which is not there: then the limit lies at the top.
        own = PurePosixPath(group.lstrip("/"))
        folders += [top / own, *(top / parent for parent in own.parents)]
    return folders


def _quota(folder: Path) -> float | None:
    """CPUs that a control group allows, or None if it sets no limit."""
    quota, period = [*" ".join(_lines(folder / "cpu.max")).split(), "", ""][:2]
    if not quota:
        quota, period = ("".join(_lines(folder / f"cpu.cfs_{what}_us")) for what in ("quota", "period"))
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) > 0 else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):  # no Linux, no such group, or nothing we may read
        return []
