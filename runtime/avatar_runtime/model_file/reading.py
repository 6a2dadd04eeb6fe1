"""A file's bytes, read only after its kind and its size are judged."""

import stat
from collections.abc import Callable
from pathlib import Path

from avatar_runtime.errors import ModelFileError
from avatar_runtime.model_file.limits import MAX_FILE_BYTES

_ORT_IDENTIFIER = b"ORTM"  # at byte 4 of an .ort
_ONNX_KEYS = (0x08, 0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72, 0xA2, 0xCA, 0xD2)
"""The first bytes of an ONNX file: the number and the wire type of a field of ModelProto."""


def is_ort(data: bytes) -> bool:
    """Whether these are the first bytes of an .ort file."""
    return data[4:8] == _ORT_IDENTIFIER


def read_model(path: Path) -> bytes:
    """The bytes of an ONNX or .ort file. Raises ModelFileError as `read_file` does, or if it is neither."""
    return read_file(path, check_head=_check_is_model)


def read_file(path: Path, *, check_head: Callable[[bytes], None] = lambda head: None) -> bytes:
    """The bytes of a regular file of at most MAX_FILE_BYTES.

    check_head is called with the first eight before the rest is read, and may raise. Raises ModelFileError if the file
    cannot be read, is not a regular one, is empty, or is too large.
    """
    try:
        size = size_of_file(path)
        if size > MAX_FILE_BYTES:
            raise ModelFileError(f"it has {size / 1e6:.0f} MB, and at most {MAX_FILE_BYTES / 1e6:.0f} MB are read")
        with path.open("rb") as file:
            head = file.read(8)
            if not head:
                raise ModelFileError("the file is empty")
            check_head(head)
            file.seek(0)
            return file.read(size)
    except (OSError, ValueError) as err:  # ValueError: a path with a NUL in it
        raise ModelFileError(f"cannot read it: {getattr(err, 'strerror', None) or err}") from err


def size_of_file(path: Path) -> int:
    """The bytes of a regular file. Raises ModelFileError if it is something else, or OSError."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(f"it is {_kind(status.st_mode)}, not a file")
    return status.st_size


def _check_is_model(head: bytes) -> None:
    if not is_ort(head) and head[0] not in _ONNX_KEYS:
        raise ModelFileError("it is not an ONNX model")


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe or a socket" if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else "a device"
