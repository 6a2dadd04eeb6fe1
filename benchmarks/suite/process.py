"""A rival in a process of its own, which works when it is asked and is stopped otherwise.

MindSpore, PyTorch, OpenVINO and onnxruntime each keep a pool of threads that spin for a while, or for ever, when there
is nothing to do. In one process, or in processes left running, the last rival's threads would take the processors from
the next. A stopped process cannot spin; and what one rival does to a process (oneDNN's instruction set, the allocator,
signal handlers) no other sees.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.suite.samples import TurnError

PATIENCE = 240.0
"""Seconds for an answer; torch.compile needs 60 of them for a new shape on two busy cores."""

Network = Callable[[Any], Any]
"""z float32 [N, latent_dim] -> images: float32 [N, C, H, W] or uint8 [N, H, W, C]."""


class Process:
    """What open_it(*args) gives, in a process of its own: a network, or a training step.

    What that process prints goes to a log file. Raises TurnError if it cannot be opened.
    """

    def __init__(self, open_it: Callable[..., Any], *args: Any, log: Path, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, log, open_it, args), daemon=True)
        with own_environment(threads):
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
        """What function(opened, *args) gives there; function must be importable. Raises TurnError."""
        self._signal("SIGCONT")
        try:
            self._pipe.send((function, args))
            return self._answer()
        except OSError as err:
            raise TurnError(f"its process has ended; {self._log} may say why") from err
        finally:
            self._signal("SIGSTOP")

    def close(self) -> None:
        """End the process: it is asked to, and killed if it has not ended 5 s later."""
        self._pipe.close()
        self._signal("SIGCONT")
        self._process.join(5)
        self._process.kill()
        self._process.join()

    def _answer(self) -> Any:
        if not self._pipe.poll(PATIENCE):
            raise TurnError(f"no answer within {PATIENCE:.0f} s")
        try:
            succeeded, answer = self._pipe.recv()
        except EOFError as err:
            self._process.join()
            raise TurnError(f"its process ended with {self._process.exitcode}; {self._log} may say why") from err
        if not succeeded:
            raise TurnError(answer)
        return answer

    def _signal(self, name: str) -> None:
        number = getattr(signal, name, None)  # Windows has neither, and leaves its processes running
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
    except Exception as err:  # a rival may raise anything; it is shown in the table
        pipe.send((False, _sentence(err)))
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
            answer = False, _sentence(err)
        pipe.send(answer)


def _sentence(err: Exception) -> str:
    return f"{type(err).__name__}: {' '.join(str(err).split())[:300]}"


@contextmanager
def own_environment(threads: int | None = None) -> Iterator[None]:
    """The environment of the processes that are started in the block: quiet, and with so many threads for OpenMP."""
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
