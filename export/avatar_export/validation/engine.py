"""The engine in C, which draws int8 files in browsers and on phones: avatar.wasm, run by wasmtime."""

from typing import Any

import numpy as np
import numpy.typing as npt
import wasmtime

from avatar_runtime.errors import AvatarError
from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.latents import latents, series
from avatar_runtime.web_sources import engine_wasm

SERIES = "engine"
FACES = 64
"""The faces that are compared: avatars 0, 1, … of SERIES."""


class EngineError(AvatarError):
    """The engine refuses a file, or draws other pixels than onnxruntime."""


class Engine:
    """An int8 .onnx file, given as its bytes, in the engine. Raises EngineError if the engine refuses it."""

    def __init__(self, file: bytes) -> None:
        self._store = wasmtime.Store()
        module = wasmtime.Module(self._store.engine, engine_wasm().read_bytes())
        self._exports = wasmtime.Instance(self._store, module, []).exports(self._store)
        self._model = self._call("open", self._put(file), len(file))
        if self._model <= 0:
            sentence = self._get(self._call("error_text", -self._model), 200).split(b"\0")[0].decode("ascii")
            raise EngineError(f"the engine for browsers and phones refuses the file: {sentence}")
        self._shape = tuple(self._call(side, self._model) for side in ("height", "width", "channels"))
        self._image = self._call("allocate", int(np.prod(self._shape)))

    def draw(self, z: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        """Latents float32 [N, latent_dim] to images uint8 [N, H, W, C]."""
        images = np.empty((len(z), *self._shape), np.uint8)
        start = self._put(np.ascontiguousarray(z, np.float32).tobytes())
        for i, image in enumerate(images):
            self._call("draw", self._model, start + i * z[i].nbytes, self._image)
            image[:] = np.frombuffer(self._get(self._image, image.nbytes), np.uint8).reshape(self._shape)
        return images

    def _call(self, name: str, *arguments: int) -> Any:
        function = self._exports[f"avatar_{name}"]
        assert isinstance(function, wasmtime.Func)
        return function(self._store, *arguments)

    def _memory(self) -> wasmtime.Memory:
        memory = self._exports["memory"]
        assert isinstance(memory, wasmtime.Memory)
        return memory

    def _put(self, data: bytes) -> int:
        place = int(self._call("allocate", len(data)))
        self._memory().write(self._store, data, place)
        return place

    def _get(self, place: int, length: int) -> bytes:
        return bytes(self._memory().read(self._store, place, place + length))


def check_engine(file: bytes, generator: AvatarGenerator) -> None:
    """Raise EngineError unless the engine draws what a generator of the same int8 file does, bit for bit."""
    names = list(series(SERIES, FACES))
    images = Engine(file).draw(latents(names, generator.spec.latent_dim))
    different = int((images != generator.generate(names)).any(axis=(1, 2, 3)).sum())
    if different:
        raise EngineError(
            f"the engine for browsers and phones draws {different} of {FACES} faces differently from onnxruntime; "
            "no model was written"
        )
