"""Several processes that serve alike, and one that starts them, starts them again when they die, and stops them."""

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Where prometheus_client keeps the metrics of several processes; it looks when it is imported."""


class Worker(NamedTuple):
    """One of the processes that serve."""

    number: int
    """From 0."""
    on_ready: Callable[[], None]
    """To be called when it serves."""
    supervisor: int
    """A handle that can be read once the supervisor is gone."""


def fork_workers(count: int, on_ready: Callable[[], None]) -> Worker:
    """Start processes that go on from here. The calling process never does: it raises SystemExit when they have ended.

    SIGTERM and SIGINT stop all, SIGHUP goes to all. The first worker is started alone; if it ends before it is ready,
    so does everything, with its exit status. on_ready is called in the calling process when all serve.
    """
    folder = None
    if METRICS_FOLDER not in os.environ:
        folder = os.environ[METRICS_FOLDER] = tempfile.mkdtemp(prefix="avatar-metrics-")
    try:
        import avatar_runtime.serve.server  # noqa: F401  # once for all: it takes most of the time a worker needs to start
    except ImportError:
        if folder is not None:
            shutil.rmtree(folder)
        raise
    supervisor = _Supervisor()
    worker = supervisor.run(count, on_ready)
    if worker is not None:
        return worker
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(supervisor.status)


class _Supervisor:
    def __init__(self) -> None:
        self.status = 0
        self._workers: dict[int, int] = {}
        """The number of each process, by its id."""
        self._stopping = False
        self._alive, self._held = os.pipe()
        """Both ends of a pipe: workers read from it, and find its end when this process is gone."""

    def run(self, count: int, on_ready: Callable[[], None]) -> Worker | None:
        """Start the workers and wait for their end; returns one in each of them, and None here."""
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda number, _: self._tell(number))
        for number in range(count):
            worker, status = self._start(number, before)
            if worker is not None or status is not None:
                self.status = 0 if self._stopping else abs(status or 0)
                self._stop()
                break
        else:
            on_ready()
        from prometheus_client.multiprocess import mark_process_dead  # it looks for the folder when it is imported

        while worker is None and self._workers:
            pid, status = os.waitpid(-1, 0)
            number = self._workers.pop(pid)
            mark_process_dead(pid)  # type: ignore[no-untyped-call]  # forget what it had under way and cached
            while not self._stopping and number not in self._workers.values() and worker is None:
                sys.stderr.write(f"worker {number} ended with status {os.waitstatus_to_exitcode(status)}; again\n")
                time.sleep(1)
                worker, _ = self._start(number, before)
        return worker

    def _start(self, number: int, handlers: "dict[signal.Signals, Any]") -> tuple[Worker | None, int | None]:
        """Start a worker and wait until it is ready: itself there, and here its exit status if it ended before."""
        ready, say_ready = os.pipe()
        if pid := os.fork():
            self._workers[pid] = number
            os.close(say_ready)
            is_ready = os.read(ready, 1)
            os.close(ready)
            if is_ready:
                return None, None
            del self._workers[pid]
            return None, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(ready)
        os.close(self._held)
        os.setpgrp()  # Ctrl-C goes to the supervisor alone, which passes it on
        self._workers.clear()
        for signal_number, handler in handlers.items():
            signal.signal(signal_number, handler)
        return Worker(number, lambda: _say(say_ready), self._alive), None

    def _stop(self, *_: object) -> None:
        self._stopping = True
        self._tell(signal.SIGTERM)

    def _tell(self, number: int) -> None:
        for pid in self._workers:
            os.kill(pid, number)


def _say(ready: int) -> None:
    os.write(ready, b"1")
    os.close(ready)
