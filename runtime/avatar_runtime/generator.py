"""AvatarGenerator: names in, avatars out."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from avatar_runtime import session as sessions
from avatar_runtime.errors import AvatarError, InputError, ModelFileError
from avatar_runtime.imaging.arrays import UInt8, from_network, to_pil
from avatar_runtime.interpolation import slerp
from avatar_runtime.latents import SCHEME, check_names, latent, latents, series, truncate
from avatar_runtime.model_file.metadata import ModelSpec
from avatar_runtime.model_file.reading import read_model
from avatar_runtime.model_file.registry import find_model

if TYPE_CHECKING:
    from PIL import Image

BATCH_SIZE = 64
"""Avatars drawn at once. Larger batches are no faster and take more memory."""


class AvatarGenerator:
    """Draws avatars with one model file.

    The same name gives the same avatar, whether it is drawn alone or among a million others: see
    `avatar_runtime.latents`. Several threads may draw with one generator. It can be pickled and can be used after a
    fork: the other process opens the file again.

    Args:
        session: The session that draws.
        spec: The metadata of its model.
        model_sha256: SHA-256 of the model file, or "" if there is none.
        exact: Draw one avatar at a time, so that not even the last bit depends on what else is drawn.

    Raises:
        ModelFileError: The graph does not fit the spec, or the spec names a latent scheme that is unknown here.

    Examples:
        >>> with AvatarGenerator.load() as generator:
        ...     generator.images(["alice"])[0].save("alice.png")
    """

    def __init__(
        self, session: sessions.Session, spec: ModelSpec, model_sha256: str = "", *, exact: bool = False
    ) -> None:
        if spec.latent_scheme != SCHEME:
            raise ModelFileError(
                f"it turns names into faces by the scheme {spec.latent_scheme!r}, and this version by {SCHEME!r}; "
                "use the avatar-edge version that it was made for"
            )
        sessions.check_interface(session, spec)
        self.spec = spec
        self.model_sha256 = model_sha256
        self.exact = exact
        self._session: sessions.Session | None = session
        self._process = os.getpid()
        self._origin: dict[str, Any] | None = None

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        *,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
        exact: bool = False,
    ) -> "AvatarGenerator":
        """Open a model.

        Without a name this is the default, which may change with a major version of the package; names then get other
        faces. To keep them, name the model: `AvatarGenerator.load("anime-faces-128@1")`. A version never changes.

        Args:
            model: An id such as "anime-faces-128@1", or a name without the version, looked up as `find_model` says; or
                the path of an .onnx or .ort file of avatar-edge.
            providers: onnxruntime execution providers in order of preference; by default the CPU's alone.
            threads: Threads inside an operator, 1 to 256. By default onnxruntime chooses, but uses at most as many
                threads as the process has CPUs.
            exact: Draw one avatar at a time in one thread.

        Raises:
            ModelFileError: The file cannot be found or read, or is not the model that was named.
            ProviderError: onnxruntime does not have a provider.
            InputError: threads is out of range, or an argument of another type.
        """
        if exact and threads not in (None, 1):
            raise InputError(f"exact drawing takes one thread, not {threads}")
        found = find_model(model)
        try:
            data = read_model(found.path)
            sha256 = hashlib.sha256(data).hexdigest()
            found.check_bytes(sha256)
            session = sessions.open_session(data, providers, 1 if exact else threads)
            spec = ModelSpec.from_metadata(sessions.metadata(session))
            found.check_id(spec.id)
            generator = cls(session, spec, sha256, exact=exact)
        except ModelFileError as err:
            raise ModelFileError(f"{found.path}: {err}") from err
        generator._origin = {
            "model": found.id or found.path.absolute(),
            "providers": None if providers is None else list(providers),
            "threads": threads,
            "exact": exact,
        }
        return generator

    @classmethod
    def from_session(cls, session: sessions.Session, *, exact: bool = False) -> "AvatarGenerator":
        """Draw with an existing onnxruntime InferenceSession of a model file of avatar-edge.

        Such a generator cannot be pickled or used after a fork, and its model_sha256 is "".

        Raises:
            ModelFileError: The session's model is not one of avatar-edge.
        """
        sessions.keep_after_fork(session)
        return cls(session, ModelSpec.from_metadata(sessions.metadata(session)), exact=exact)

    @property
    def model_id(self) -> str:
        """Name and version of the model, such as "anime-faces-128@1"."""
        return self.spec.id

    def close(self) -> None:
        """Release the session and its memory. A closed generator cannot draw."""
        self._session = None

    def __enter__(self) -> "AvatarGenerator":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        if self._origin is None:
            raise AvatarError("a generator made from a session cannot go to another process; load it from a file there")
        return {"origin": self._origin, "sha256": self.model_sha256}

    def __setstate__(self, state: dict[str, Any]) -> None:
        again = AvatarGenerator.load(**state["origin"])
        if again.model_sha256 != state["sha256"]:
            name = state["origin"]["model"]
            raise ModelFileError(f"{name}: it is no longer the file that this generator was made from")
        self.__dict__.update(again.__dict__)

    def generate(self, names: Iterable[str] | int, *, seed: str | int = 0, truncation: float = 1.0) -> UInt8:
        """Draw avatars.

        Args:
            names: One avatar is drawn per name. A number n means avatars 0 to n-1 of the series seed, whose names are
                "seed/0" to "seed/n-1".
            seed: The series, if names is a number.
            truncation: 0 to 2, scales the latents: below 1 the faces are closer to the average face. The packaged
                models draw whole faces from 0.6 to 1; lower, faces dissolve.

        Returns:
            uint8 [N, H, W, C], RGB, or grey if C is 1.

        Raises:
            InputError: An argument cannot be used.
        """
        stream = self.stream(names, seed=seed, truncation=truncation)
        if isinstance(names, int | np.integer):
            self._check_room(names)
        batches = list(stream)
        if batches:
            return batches[0] if len(batches) == 1 else np.concatenate(batches)
        return np.empty((0, self.spec.image_size, self.spec.image_size, self.spec.channels), np.uint8)

    def images(
        self, names: Iterable[str] | int, *, seed: str | int = 0, truncation: float = 1.0
    ) -> "list[Image.Image]":
        """Draw avatars as `generate` does, and return them as PIL images."""
        return [to_pil(image) for image in self.generate(names, seed=seed, truncation=truncation)]

    def interpolate(self, a: str, b: str, frames: int, *, truncation: float = 1.0) -> UInt8:
        """Draw equal steps from one avatar to another, along the great circle between their latents.

        Args:
            a: The name of the first frame's avatar.
            b: The name of the last frame's avatar.
            frames: How many images, at least 2; both ends are included.
            truncation: As in `generate`.

        Returns:
            uint8 [frames, H, W, C].

        Raises:
            InputError: An argument cannot be used.
        """
        if isinstance(frames, bool) or not isinstance(frames, int | np.integer) or frames < 2:
            raise InputError(f"the number of frames must be a whole number of at least 2, not {frames!r}")
        self._check_room(frames)
        return self._between(a, b, [i / (frames - 1) for i in range(frames)], truncation)

    def mix(self, a: str, b: str, t: float, *, truncation: float = 1.0) -> UInt8:
        """Draw the one avatar at position t between a and b: uint8 [H, W, C].

        Position 0 is exactly the avatar of a, 1 exactly that of b. Raises InputError unless t is from 0 to 1.
        """
        image: UInt8 = self._between(a, b, [t], truncation)[0]
        return image

    def verify(self) -> int:
        """Draw the golden images of the model file and compare them.

        Returns:
            The largest difference in levels (of 255). 0 means that this machine draws exactly what the machine that
            made the file drew.

        Raises:
            ModelFileError: The file has no golden images, or the difference is larger than it tolerates.
        """
        golden = self.spec.golden
        if golden is None:
            raise ModelFileError("the model carries no golden images; export it again")
        expected = golden.images()
        difference = int(np.abs(self.generate(golden.names).astype(np.int16) - expected).max())
        if difference > golden.tolerance:
            raise ModelFileError(
                f"the model draws its golden images {difference} levels off, and {golden.tolerance} are allowed; "
                "the file or this onnxruntime is damaged"
            )
        return difference

    def stream(
        self, names: Iterable[str] | int, *, seed: str | int = 0, truncation: float = 1.0, batch_size: int = BATCH_SIZE
    ) -> Iterator[UInt8]:
        """Draw avatars as `generate` does, but lazily, so that any number fits in memory.

        Args:
            names: As in `generate`; may be endless. Each name is checked when it is drawn, all else at the call.
            seed: As in `generate`.
            truncation: As in `generate`.
            batch_size: How many avatars each array holds at most.

        Yields:
            uint8 [n, H, W, C], n from 1 to batch_size.

        Raises:
            InputError: An argument cannot be used.
        """
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, not {batch_size}")
        truncate(np.empty((0, self.spec.latent_dim), np.float32), truncation)
        if isinstance(names, int | np.integer):
            if isinstance(names, bool) or names < 1:
                raise InputError(f"the number of avatars must be at least 1, not {names}")
            names = series(seed, names)
        return self._stream(iter(check_names(names)), truncation, batch_size)

    def _check_room(self, count: int) -> None:
        """Raise InputError if so many images cannot be in memory at once."""
        try:
            np.empty((count, self.spec.image_size, self.spec.image_size, self.spec.channels), np.uint8)
        except (MemoryError, ValueError, OverflowError) as err:
            raise InputError(f"{count} avatars do not fit in memory at once; draw any number with stream()") from err

    def _stream(self, names: Iterator[str], truncation: float, batch_size: int) -> Iterator[UInt8]:
        while batch := list(islice(names, batch_size)):
            yield self._draw(truncate(latents(batch, self.spec.latent_dim), truncation))

    def _between(self, a: str, b: str, positions: Sequence[float], truncation: float) -> UInt8:
        z = slerp(latent(a, self.spec.latent_dim), latent(b, self.spec.latent_dim), positions)
        z = truncate(z, truncation)
        return np.concatenate([self._draw(z[i : i + BATCH_SIZE]) for i in range(0, len(z), BATCH_SIZE)])

    def _draw(self, z: npt.NDArray[np.float32]) -> UInt8:
        """The images of latents: float32 [N, latent_dim] to uint8 [N, H, W, C]."""
        session = self._own_session()
        if self.exact:
            output = np.concatenate([sessions.run(session, row[None]) for row in z])
        else:
            output = sessions.run(session, z)
        return output if self.spec.output == "uint8" else from_network(output, self.spec.pixel_range)

    def _own_session(self) -> sessions.Session:
        if self._session is None:
            raise AvatarError("the generator is closed; load it again")
        if self._process != os.getpid():  # a fork copies the session, but not its threads
            self.__setstate__(self.__getstate__())
        return self._session


def embedded_model() -> Path:
    """The path of the default model, inside the package."""
    return find_model().path
