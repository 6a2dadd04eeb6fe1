"""For each name, draw several candidates and keep the one that a scorer prefers.

Candidate 0 of a name is the avatar of that name, candidate k is the avatar of the name `NAME~k`. So the chosen avatar
can be drawn again without the scorer.
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
from avatar_runtime.model_file.metadata import ModelSpec, ScorerSpec
from avatar_runtime.model_file.reading import read_model


@dataclass(frozen=True)
class Choice:
    """The candidates that a picture shows."""

    candidates: tuple[int, ...]
    """For each name, the number of the candidate that was kept."""
    best_of: int
    """How many candidates each name had."""
    scorer: str
    """SHA-256 of the scorer's file."""


def candidate_name(name: str, candidate: int) -> str:
    """The name under which a candidate of a name is drawn."""
    return f"{name}~{candidate}" if candidate else name


class Scorer:
    """A model that takes `images`, uint8 [N, H, W, C], and gives `score`, float32 [N]: the higher, the better.

    Raises ModelFileError if the session's model is not a scorer.
    """

    def __init__(self, session: sessions.Session, sha256: str = "") -> None:
        self.spec = ScorerSpec.from_metadata(sessions.metadata(session))
        self.sha256 = sha256
        self._session = session
        sessions.check_scorer(session, self.spec)

    @classmethod
    def load(cls, path: str | Path, *, threads: int | None = None) -> "Scorer":
        """Open a scorer's file. Raises ModelFileError, with the file's name, or InputError."""
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
    """For each name, draws count candidates and keeps the best-scored one, the first of equals."""

    scorer: Scorer
    """The model that scores the candidates."""
    count: int
    """How many candidates to draw for each name."""

    def __post_init__(self) -> None:
        if type(self.count) is not int or self.count < 1:
            raise InputError(f"the number of candidates must be at least 1, not {self.count!r}")

    def check(self, spec: ModelSpec) -> None:
        """Raise InputError unless the scorer takes the images that a model of this spec draws."""
        wanted = self.scorer.spec
        if (spec.image_size, spec.channels) != (wanted.image_size, wanted.channels):
            raise InputError(
                f"the scorer scores images of {wanted.image_size}x{wanted.image_size} pixels and {wanted.channels} "
                f"channels, the model draws {spec.image_size}x{spec.image_size} and {spec.channels}"
            )

    def candidates(self, generator: AvatarGenerator, names: Iterable[str], truncation: float = 1.0) -> Iterator[int]:
        """The number of the candidate that is kept for each name, lazily. Raises InputError as `check` does."""
        self.check(generator.spec)
        return self._candidates(generator, iter(names), truncation)

    def choice(self, candidates: Iterable[int]) -> Choice:
        """These candidates as a `Choice`."""
        return Choice(tuple(candidates), self.count, self.scorer.sha256)

    def _candidates(self, generator: AvatarGenerator, names: Iterator[str], truncation: float) -> Iterator[int]:
        while batch := list(islice(names, max(1, BATCH_SIZE // self.count))):
            drawn = (candidate_name(name, k) for name in batch for k in range(self.count))
            scores = [self.scorer.score(images) for images in generator.stream(drawn, truncation=truncation)]
            yield from (int(k) for k in np.concatenate(scores).reshape(len(batch), self.count).argmax(1))


def read_choice(text: Mapping[str, Any], names: int) -> Choice | None:
    """The choice in a picture's text, if it has one. Raises ValueError."""
    if "candidates" not in text:
        return None
    candidates, count, scorer = text["candidates"], text.get("best_of"), text.get("scorer")
    if not (isinstance(candidates, list) and len(candidates) == names and type(count) is int):
        raise ValueError("candidates do not fit the names")
    if not (all(type(k) is int and 0 <= k < count for k in candidates) and isinstance(scorer, str)):
        raise ValueError("candidates are not among those drawn")
    return Choice(tuple(candidates), count, scorer)
