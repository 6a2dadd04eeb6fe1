"""AvatarGenerator: names in, avatars out."""

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from avatar_runtime import session as sessions
from avatar_runtime.errors import InputError, ModelFileError
from avatar_runtime.latents import SCHEME, check_names, latents, series, truncate
from avatar_runtime.pixels import UInt8, from_network, from_png, to_pil
from avatar_runtime.spec import ModelSpec

BATCH_SIZE = 64
"""Avatars drawn at once: onnxruntime gets no faster beyond, and memory stays bounded."""


class AvatarGenerator:
    """Draws avatars from one model file.

    The same name gives the same avatar, alone or among a million: see `avatar_runtime.latents`.

        generator = AvatarGenerator.load()
        generator.images(["alice"])[0].save("alice.png")
    """

    def __init__(self, session: sessions.Session, spec: ModelSpec, model_sha256: str) -> None:
        if spec.latent_scheme != SCHEME:
            raise ModelFileError(
                f"it turns names into faces by the scheme {spec.latent_scheme!r}, this version by {SCHEME!r}; "
                "use the avatar-edge version that it was made for"
            )
        sessions.check_interface(session, spec)
        self._session = session
        self.spec = spec
        self.model_sha256 = model_sha256

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
    ) -> "AvatarGenerator":
        """Open a model file, by default the one inside the package.

        providers are onnxruntime execution providers in order of preference (default: the CPU's alone); threads is the
        number of threads inside an operator (default: onnxruntime's own choice). Raises ModelFileError with the file's
        name, ProviderError or InputError.
        """
        model = Path(path) if path is not None else embedded_model()
        try:
            data = sessions.read_model(model)
            session = sessions.open_session(data, providers, threads)
            spec = ModelSpec.from_metadata(sessions.metadata(session))
            return cls(session, spec, hashlib.sha256(data).hexdigest())
        except ModelFileError as err:
            raise ModelFileError(f"{model}: {err}") from err

    def generate(self, names: Iterable[str] | int, *, seed: str | int = 0, truncation: float = 1.0) -> UInt8:
        """The avatars of names: uint8 [N, H, W, C], RGB (or grey if C is 1).

        A number n instead of names means avatars 0 … n-1 of the series `seed`, named "seed/0" … "seed/n-1".
        truncation from 0 to 2 scales the latents: below 1 nearer to the average face. Raises InputError.
        """
        parts = list(self.stream(names, seed=seed, truncation=truncation))
        if parts:
            return np.concatenate(parts)
        return np.empty((0, self.spec.image_size, self.spec.image_size, self.spec.channels), np.uint8)

    def images(self, names: Iterable[str] | int, *, seed: str | int = 0, truncation: float = 1.0) -> list[Image.Image]:
        """What `generate` gives, as PIL images."""
        return [to_pil(image) for image in self.generate(names, seed=seed, truncation=truncation)]

    def verify(self) -> int:
        """Draw the golden images of the model file and compare: the largest difference in levels (of 255).

        0 means that this machine draws exactly what the machine that made the file did. Raises ModelFileError if the
        file has no golden check or the difference is more than it tolerates.
        """
        golden = self.spec.golden
        if golden is None:
            raise ModelFileError("the model carries no golden check; export it again")
        expected = np.stack([from_png(base64.b64decode(png)) for png in golden.png])
        difference = int(np.abs(self.generate(golden.names).astype(np.int16) - expected).max())
        if difference > golden.tolerance:
            raise ModelFileError(
                f"the model draws its golden images {difference} levels off, {golden.tolerance} are tolerated; "
                "the file or this onnxruntime is damaged"
            )
        return difference

    def stream(
        self,
        names: Iterable[str] | int,
        *,
        seed: str | int = 0,
        truncation: float = 1.0,
        batch_size: int = BATCH_SIZE,
    ) -> Iterator[UInt8]:
        """What `generate` gives, lazily, in parts of at most batch_size avatars: any number fits in memory.

        names may be endless. Arguments are checked at the call, each name when its turn comes.
        """
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, not {batch_size}")
        truncate(np.empty((0, self.spec.latent_dim), np.float32), truncation)
        if isinstance(names, int | np.integer):
            if isinstance(names, bool) or names < 1:
                raise InputError(f"the number of avatars must be at least 1, not {names}")
            names = series(seed, names)
        return self._stream(iter(check_names(names)), truncation, batch_size)

    def _stream(self, names: Iterator[str], truncation: float, batch_size: int) -> Iterator[UInt8]:
        while batch := list(islice(names, batch_size)):
            z = truncate(latents(batch, self.spec.latent_dim), truncation)
            output = sessions.run(self._session, z)
            yield output if self.spec.output == "uint8" else from_network(output, self.spec.pixel_range)


def embedded_model() -> Path:
    """Where the model inside the package lies."""
    return Path(__file__).with_name("models") / "anime-faces-64.onnx"
