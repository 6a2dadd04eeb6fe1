"""Run a contender in its own process, which is stopped (SIGSTOP) except while it works.

MindSpore, PyTorch, OpenVINO and onnxruntime each keep a pool of threads that spin for a while, or for ever, when idle.
In one process, or in processes left running, the last contender's threads would take CPU time from the next: fp32 took
3.0 ms there and takes 1.5 ms alone. A stopped process cannot spin, and what a library does to its process (oneDNN's
instruction set, the allocator, signal handlers) does not touch the others.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.suite.timing import TurnError

ANSWER_TIMEOUT = 240.0
"""Seconds. torch.compile takes up to 60 for a new shape on two busy cores."""

Network = Callable[[Any], Any]
"""z float32 [N, latent_dim] -> images: float32 [N, C, H, W] or uint8 [N, H, W, C]."""


class Process:
    """The result of open_it(*args) (a network, or a training step) in a separate process.

    Its output goes to a log file. Raises TurnError if open_it fails.
    """

    def __init__(self, open_it: Callable[..., Any], *args: Any, log: Path, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, log, open_it, args), daemon=True)
        with quiet_environment(threads):
            self._process.start()
        theirs.close()
        self._log = log
        try:
            self._answer()
        except BaseException:
            self.close()
            raise
        self._signal("SIGSTOP")

    def ask(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return function(opened, *args), computed there. The function must be importable. Raises TurnError."""
        self._signal("SIGCONT")
        try:
            self._pipe.send((function, args))
            return self._answer()
        except OSError as err:
            raise TurnError(f"its process has ended; see {self._log}") from err
        finally:
            self._signal("SIGSTOP")

    def close(self) -> None:
        """End the process; kill it if it has not ended after 5 s."""
        self._pipe.close()
        self._signal("SIGCONT")
        self._process.join(5)
        self._process.kill()
        self._process.join()

    def _answer(self) -> Any:
        if not self._pipe.poll(ANSWER_TIMEOUT):
            raise TurnError(f"no answer within {ANSWER_TIMEOUT:.0f} s")
        try:
            succeeded, answer = self._pipe.recv()
        except EOFError as err:
            self._process.join()
            raise TurnError(f"its process ended with {self._process.exitcode}; see {self._log}") from err
        if not succeeded:
            raise TurnError(answer)
        return answer

    def _signal(self, name: str) -> None:
        number = getattr(signal, name, None)  # Windows has neither signal: its processes keep running
        if number is not None and self._process.pid is not None and self._process.is_alive():
            os.kill(self._process.pid, number)


def _serve(pipe: Connection, log: Path, open_it: Callable[..., Any], args: tuple[Any, ...]) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    answer: Any = None
    try:
        opened = open_it(*args)
    except Exception as err:  # a library may raise anything; the table shows it
        pipe.send((False, _one_line(err)))
        return
    pipe.send((True, None))
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        try:
            answer = True, function(opened, *arguments)
        except Exception as err:  # as above
            answer = False, _one_line(err)
        pipe.send(answer)


def _one_line(err: Exception) -> str:
    return f"{type(err).__name__}: {' '.join(str(err).split())[:300]}"


@contextmanager
def quiet_environment(threads: int | None = None) -> Iterator[None]:
    """Start processes in this block with logs and telemetry off, and with this many OpenMP threads."""
    changes = {"GLOG_v": "3", "ORT_DISABLE_TELEMETRY": "1", "OPENVINO_TELEMETRY_DISABLE": "1"}
    if threads is not None:
        changes |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    before = dict(os.environ)
    os.environ.update({name: value for name, value in changes.items() if name not in before})
    try:
        yield
    finally:
        for name in changes.keys() - before.keys():
            del os.environ[name]
