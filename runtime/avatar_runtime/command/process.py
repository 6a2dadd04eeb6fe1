"""The four commands as processes: what they do about closed or full streams, scarce resources and other encodings.

A command is named, not imported, so that even a failing import ends in one sentence.
"""

import errno
import gc
import importlib
import io
import os
import sys
import threading
from contextlib import suppress
from typing import Any, NoReturn, TextIO

from avatar_runtime.cpus import check_can_start
from avatar_runtime.errors import AvatarError

ADDRESS_SPACE = 200 * 2**20
"""Bytes without which NumPy and onnxruntime cannot be imported; OpenBLAS ends the process where they are missing."""


STANDARD_OUTPUT = "standard output"


class _Output(io.FileIO):
    """Standard output, whose errors say that they are its own."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except OSError as err:
            reason = "it is closed" if err.errno == errno.EBADF else err.strerror
            raise OSError(err.errno, reason, STANDARD_OUTPUT) from err


class _Diagnostics(io.FileIO):
    """Standard error: what cannot be written there is lost, for there is nowhere left to say so."""

    def write(self, data: Any) -> int:
        with suppress(OSError):
            return super().write(data) or 0
        return len(data)


def avatar_gen() -> NoReturn:
    """Run avatar-gen."""
    _run("avatar_runtime.command.cli", "avatar-gen", quick=True)


def avatar_serve() -> NoReturn:
    """Run avatar-serve."""
    _run("avatar_runtime.serve.cli", "avatar-serve", quick=True)


def avatar_export() -> NoReturn:
    """Run avatar-export."""
    _run("avatar_export.cli", "avatar-export")


def avatar_train() -> NoReturn:
    """Run avatar-train."""
    _run("avatar_training.cli", "avatar-train")


def _run(module: str, name: str, *, quick: bool = False) -> NoReturn:
    """Run the click command `main` of a module, and end the process with its exit status.

    quick skips the interpreter's own end, which takes 8 ms, but for its wait for threads; and the garbage collection
    while modules are imported, which takes 12 of 150 ms: `main` has to enable it.
    """
    if quick:
        gc.disable()
        _no_matrix_threads()
    _use_utf8()
    _open_streams()
    _spare_threads()
    try:
        _check_address_space()
        importlib.import_module(module).main(prog_name=name)
        status = 0
    except SystemExit as err:
        end = err  # kept, for what it holds would complain when it is taken apart
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as err:
        status = _explain(err)
    try:
        sys.stdout.flush()
    except OSError as err:
        status = status or _explain(err)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter tries again at its end, and complains
    if quick:
        sys.stderr.flush()
        _wait_for_threads()
        os._exit(status)
    sys.exit(status)


def _explain(err: BaseException) -> int:
    """Say in one sentence why the process ends, and return its exit status. Raises err again if it is a bug."""
    if isinstance(err, KeyboardInterrupt):
        return 130  # 128 + SIGINT, as a shell says it
    if isinstance(err, OSError) and err.errno == errno.EPIPE:
        return 1  # in silence: nobody reads on
    sentence = cause(err)
    if sentence is None:
        raise err
    with suppress(OSError):
        sys.stderr.write(f"Error: {sentence}\n")
    return 1


def cause(err: BaseException) -> str | None:
    """What the process ran out of or cannot reach, in one sentence; None if err tells of no such thing."""
    text = " ".join(str(err).split())
    if isinstance(err, OSError) and err.errno in (errno.EMFILE, errno.ENFILE):
        return "too many files are open: raise the limit (ulimit -n) to at least 64"
    if isinstance(err, MemoryError) or any(sign in text for sign in _NO_MEMORY):
        return "there is not enough memory: do less at a time, or raise the limit (ulimit -v)"
    if isinstance(err, RuntimeError) and "can't start new thread" in text:
        return "this process may not start another thread: raise its limits (ulimit -u, ulimit -v)"
    if isinstance(err, OSError):
        verb = "write to" if err.filename == STANDARD_OUTPUT else "use"
        return f"cannot {verb} {err.filename}: {err.strerror or err}" if err.filename else str(err)
    return None


_NO_MEMORY = (
    "failed to map segment",
    "cannot allocate memory",
    "Cannot allocate memory",
    "bad_alloc",
    "Failed to allocate memory",
    "error return without exception set",  # NumPy's import
)


def _wait_for_threads() -> None:
    """Let threads finish what they write. A pool forgets the one that it starts just when Ctrl-C is pressed."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.is_alive() and not thread.daemon:
            thread.join()


def _use_utf8() -> None:
    """Start again in UTF-8 mode if this locale knows no letters but ASCII's: a name must give the same face in any.

    A bundle of PyInstaller does so itself, and its sys.executable is not an interpreter.
    """
    if getattr(sys, "frozen", False):
        return
    if sys.getfilesystemencoding() == "ascii" and sys.executable and sys.orig_argv:
        with suppress(OSError):
            os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _open_streams() -> None:
    """Standard streams that name the cause of a failure, or that fail themselves where there are none.

    A closed one is opened for the wrong direction: otherwise the next file that is opened would take its number.
    """
    for number, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, flags)  # the lowest number that is free is this one
    if sys.stdin is None:
        raw = io.FileIO(0, closefd=False)
        raw.name = "<stdin>"
        sys.stdin = io.TextIOWrapper(io.BufferedReader(raw), "utf-8")
    if not _is_windows_console(sys.stdout):
        sys.stdout = _text_stream(_Output(1, "w", closefd=False), sys.stdout)
    if not _is_windows_console(sys.stderr):
        sys.stderr = _text_stream(_Diagnostics(2, "w", closefd=False), sys.stderr)


def _is_windows_console(stream: "TextIO | None") -> bool:
    """Whether it takes text and no bytes. It shows all letters; a file or a pipe of Windows often knows 256."""
    return os.name == "nt" and stream is not None and stream.isatty()


def _text_stream(raw: io.FileIO, replaced: "TextIO | None") -> io.TextIOWrapper:
    """A text stream like the one that it replaces, but for letters that its encoding lacks: they become escapes."""
    encoding = "utf-8" if replaced is None else replaced.encoding
    line_buffering = raw.isatty() or isinstance(raw, _Diagnostics)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=line_buffering)


def _no_matrix_threads() -> None:
    """Keep NumPy's OpenBLAS from starting threads. It multiplies matrices, and drawing has none."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _spare_threads() -> None:
    """Do so where no thread can start, too: OpenBLAS would interrupt the process."""
    if "OPENBLAS_NUM_THREADS" not in os.environ:
        try:
            check_can_start(1)
        except AvatarError:
            _no_matrix_threads()


def _check_address_space() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit not in (resource.RLIM_INFINITY, -1) and limit < ADDRESS_SPACE:
        raise MemoryError
