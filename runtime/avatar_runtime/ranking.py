"""A critic scores avatars, so that the best of several candidates of a name can be kept.

Candidate 0 of a name is the avatar of that name, candidate k the avatar of the name `NAME~k`: anybody can draw the
chosen one again without the critic.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from avatar_runtime import session as sessions
from avatar_runtime.errors import InputError, ModelFileError
from avatar_runtime.generator import BATCH_SIZE, AvatarGenerator
from avatar_runtime.imaging.arrays import UInt8
from avatar_runtime.model_file.metadata import ModelSpec, check_sizes, read_contract
from avatar_runtime.model_file.reading import read_model

KIND = "critic"


@dataclass(frozen=True)
class Choice:
    """Which candidates a picture shows."""

    candidates: tuple[int, ...]
    """For each name the candidate that was kept."""
    best_of: int
    """How many there were of each."""
    critic: str
    """SHA-256 of the critic's file."""


def candidate_name(name: str, candidate: int) -> str:
    """The name under which a candidate of a name is drawn."""
    return f"{name}~{candidate}" if candidate else name


class Critic:
    """A model that takes `images` uint8 [N, H, W, C] and gives `score` float32 [N], the higher the better.

    Its contract, in the same metadata as a generator's, says {"format_version": 1, "kind": "critic", "image_size": H,
    "channels": C}.
    """

    def __init__(self, session: sessions.Session, sha256: str = "") -> None:
        contract = read_contract(sessions.metadata(session), KIND)
        check_sizes(contract, "image_size", "channels")
        self.image_size: int = contract["image_size"]
        self.channels: int = contract["channels"]
        self.sha256 = sha256
        self._session = session
        sessions.check_critic(session, self.image_size, self.channels)

    @classmethod
    def load(cls, path: str | Path, *, threads: int | None = None) -> "Critic":
        """Open a critic's file. Raises ModelFileError with the file's name, or InputError."""
        try:
            data = read_model(Path(path))
            return cls(sessions.open_session(data, None, threads), hashlib.sha256(data).hexdigest())
        except ModelFileError as err:
            raise ModelFileError(f"{path}: {err}") from err

    def score(self, images: UInt8) -> npt.NDArray[np.float32]:
        """The scores of images uint8 [N, H, W, C]: float32 [N]."""
        return sessions.score(self._session, images)


@dataclass(frozen=True)
class BestOf:
    """Keeps of each name the candidate that the critic scores highest, the first of equals."""

    critic: Critic
    """Scores the candidates."""
    count: int
    """How many candidates a name has."""

    def __post_init__(self) -> None:
        if type(self.count) is not int or self.count < 1:
            raise InputError(f"the best can be kept of at least 1 candidate, not of {self.count!r}")

    def check(self, spec: ModelSpec) -> None:
        """Raise InputError unless the critic judges what a model of this contract draws."""
        critic = self.critic
        if (spec.image_size, spec.channels) != (critic.image_size, critic.channels):
            raise InputError(
                f"the critic judges images of {critic.image_size}x{critic.image_size} pixels and {critic.channels} "
                f"channels, the model draws {spec.image_size}x{spec.image_size} and {spec.channels}"
            )

    def candidates(self, generator: AvatarGenerator, names: Iterable[str], truncation: float = 1.0) -> Iterator[int]:
        """For each name the candidate that is kept, lazily. Raises InputError as `check` does."""
        self.check(generator.spec)
        return self._candidates(generator, iter(names), truncation)

    def choice(self, candidates: Iterable[int]) -> Choice:
        """What a picture of these candidates says of them."""
        return Choice(tuple(candidates), self.count, self.critic.sha256)

    def _candidates(self, generator: AvatarGenerator, names: Iterator[str], truncation: float) -> Iterator[int]:
        while batch := list(islice(names, max(1, BATCH_SIZE // self.count))):
            drawn = (candidate_name(name, k) for name in batch for k in range(self.count))
            scores = [self.critic.score(images) for images in generator.stream(drawn, truncation=truncation)]
            yield from (int(k) for k in np.concatenate(scores).reshape(len(batch), self.count).argmax(1))


def read_choice(text: Mapping[str, Any], names: int) -> Choice | None:
    """The choice that a picture's text tells of, if there was one. Raises ValueError."""
    if "candidates" not in text:
        return None
    candidates, count, critic = text["candidates"], text.get("best_of"), text.get("critic")
    if not (isinstance(candidates, list) and len(candidates) == names and type(count) is int):
        raise ValueError("candidates do not fit the names")
    if not (all(type(k) is int and 0 <= k < count for k in candidates) and isinstance(critic, str)):
        raise ValueError("candidates are not among those judged")
    return Choice(tuple(candidates), count, critic)
