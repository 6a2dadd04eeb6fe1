"""The engine, compiled and called from Python: what the tests compare with onnxruntime."""

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

NATIVE = Path(__file__).parents[2] / "runtime/native"
COMPILERS = ("cc", "gcc", "clang")

OK, DAMAGED, ORT_FORMAT, FOREIGN, NEWER, PRECISION = range(6)
FLOAT_OUTPUT, METADATA, OPERATOR, SUMS, TOO_LARGE, MEMORY = range(6, 12)
"""enum avatar_error of avatar.h."""


class EngineError(Exception):
    """The engine refused a file."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def compiler() -> str | None:
    """The first C compiler that is there."""
    return next((path for name in COMPILERS if (path := shutil.which(name))), None)


def compile_engine(folder: Path, flags: Sequence[str] = ()) -> ctypes.CDLL:
    """The engine as a shared library, with every warning an error. Skips the test where there is no compiler."""
    program = compiler() or pytest.skip("needs a C compiler")
    library = folder / f"avatar{''.join(flags)}.so"
    words = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror", *flags]
    subprocess.run([program, *words, "-shared", "-fPIC", NATIVE / "avatar.c", "-o", library], check=True)
    engine = ctypes.CDLL(str(library))
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    engine.avatar_error_text.restype = ctypes.c_char_p
    engine.avatar_measure.argtypes = [pointer, size, pointer]
    engine.avatar_load.argtypes = [pointer, size, pointer, size, pointer]
    engine.avatar_metadata.argtypes, engine.avatar_metadata.restype = [pointer, pointer], pointer
    engine.avatar_draw.argtypes, engine.avatar_draw.restype = [pointer] * 3, None
    for name in ("latent_dim", "height", "width", "channels"):
        getattr(engine, f"avatar_{name}").argtypes = [pointer]
    return engine


class Model:
    """A model file, loaded. Raises EngineError."""

    def __init__(self, engine: ctypes.CDLL, file: bytes) -> None:
        self.engine = engine
        bytes_needed, model = ctypes.c_size_t(), ctypes.c_void_p()
        # The file lies at the end of an array of its own size, and is gone after loading.
        copied = (ctypes.c_char * len(file)).from_buffer_copy(file) if file else None
        self._check(engine.avatar_measure(copied, len(file), ctypes.byref(bytes_needed)))
        self.memory_size = bytes_needed.value
        self._memory = np.full(self.memory_size + 7, 0xCC, np.uint8)  # what was there before must not matter
        start = -self._memory.ctypes.data % 8
        memory = self._memory.ctypes.data + start
        self._check(engine.avatar_load(copied, len(file), memory, self.memory_size, ctypes.byref(model)))
        self.model = model
        self.latent_dim, *shape = (
            getattr(engine, f"avatar_{name}")(model) for name in ("latent_dim", "height", "width", "channels")
        )
        self.shape = tuple(shape)

    def _check(self, code: int) -> None:
        if code:
            raise EngineError(code, self.engine.avatar_error_text(code).decode("ascii"))

    def metadata(self) -> str:
        """The metadata's JSON."""
        length = ctypes.c_size_t()
        text = self.engine.avatar_metadata(self.model, ctypes.byref(length))
        return ctypes.string_at(text, length.value).decode()

    def draw(self, z: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """z float32 [N, latent_dim] -> images uint8 [N, H, W, C]."""
        z = np.ascontiguousarray(z, np.float32)
        images = np.empty((len(z), *self.shape), np.uint8)
        for one, image in zip(z, images, strict=True):
            self.engine.avatar_draw(self.model, one.ctypes.data, image.ctypes.data)
        return images
