"""The options of avatar-gen: which contradict each other, and what they make together."""

import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, BinaryIO

from avatar_runtime.errors import InputError
from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.imaging.portrait import Portrait
from avatar_runtime.output.bulk import read_names
from avatar_runtime.output.picture import Picture

if TYPE_CHECKING:
    from avatar_runtime.ranking import BestOf, Choice

FEW = 8
"""So many avatars are drawn sooner by one thread than a second one starts, which takes 20 ms."""
MAX_NAMES = 10_000_000
"""The longest list of names that is held in memory."""


class Options(SimpleNamespace):
    """The options of avatar-gen as click has read them. Not a dataclass: making one of so many fields takes 2 ms."""

    given: frozenset[str]
    """Those below that were given on the command line."""
    names: tuple[str, ...]
    names_file: BinaryIO | None
    interpolate: tuple[str, str] | None
    frames: int
    seed: str | None
    count: int | None
    truncation: float
    best_of: int | None
    scorer: Path | None
    out: Path | None
    out_dir: Path | None
    format: str | None
    columns: int | None
    size: int | None
    circle: bool
    background: str | None
    shard: tuple[int, int] | None
    info: bool
    check: bool
    reproduce: Path | None
    json: bool
    model: str | None
    providers: tuple[str, ...]
    threads: int | None
    exact: bool

    @property
    def to_stdout(self) -> bool:
        """Whether the picture itself goes to standard output."""
        return self.out == Path("-")

    @property
    def extension(self) -> str:
        """The extension of the files to write."""
        return self.out.suffix if self.out and not self.to_stdout else f".{self.format or 'png'}"

    def check_drawing(self) -> None:
        """Raise InputError for options that contradict each other."""
        sources = {
            "--name": bool(self.names),
            "--names-file": self.names_file is not None,
            "--interpolate": self.interpolate is not None,
            "--seed and --count": self.seed is not None or self.count is not None,
        }
        given = [source for source, is_given in sources.items() if is_given]
        if len(given) > 1:
            raise InputError(f"{given[0]} and {given[1]} both say what to draw: use one or the other")
        if (self.out is None) == (self.out_dir is None):
            raise InputError("say where to draw: either --out FILE for one picture or --out-dir DIR for many")
        if (self.best_of is None) != (self.scorer is None):
            raise InputError("--best-of K and --scorer FILE go together: the scorer scores the K candidates")
        if self.interpolate is None and "frames" in self.given:
            raise InputError("--frames belongs to --interpolate A B")
        if self.interpolate is not None and self.out is None:
            raise InputError("--interpolate draws one animation: it needs --out, not --out-dir")
        if self.out_dir is not None and self.columns is not None:
            raise InputError("--columns arranges a grid; it has no use with --out-dir")
        if self.format is not None and self.out is not None and not self.to_stdout:
            raise InputError("--format is for --out-dir and --out -; the name of --out FILE says its format")
        if self.shard is not None and (self.out_dir is None or not self.given & {"names", "names_file", "seed"}):
            raise InputError("--shard divides single files: it needs --out-dir, and --seed or names")
        if self.to_stdout and self.json:
            raise InputError("--out - and --json both want standard output: use one or the other")
        self.picture(("", "")).check_format(self.extension)
        if self.to_stdout and sys.stdout.isatty():
            raise InputError("standard output is a terminal, which shows no picture: send it to a file or a program")

    def load_generator(self) -> AvatarGenerator:
        """Open the model that draws. Raises AvatarError."""
        return AvatarGenerator.load(
            self.model, providers=self.providers or None, threads=self._session_threads(), exact=self.exact
        )

    def load_best_of(self) -> "BestOf | None":
        """Open the scorer that chooses among candidates, if that is asked for. Raises AvatarError."""
        if self.best_of is None or self.scorer is None:
            return None
        from avatar_runtime.ranking import BestOf, Scorer

        return BestOf(Scorer.load(self.scorer, threads=self._session_threads()), self.best_of)

    def all_names(self) -> list[str] | None:
        """The names given, in any of three ways; None if a series is asked for. Raises InputError."""
        if self.names_file is None:
            return list(self.interpolate or self.names) or None
        label = self.names_file.name
        names = list(islice(read_names(self.names_file, label), MAX_NAMES + 1))
        if not names:
            raise InputError(f"{label} holds no name")
        if len(names) > MAX_NAMES:
            raise InputError(f"{label} holds more than {MAX_NAMES} names: split it")
        return names

    def portrait(self) -> Portrait:
        """How each avatar is shown."""
        return Portrait(self.size, self.circle, self.background)

    def picture(self, names: Iterable[str], choice: "Choice | None" = None) -> Picture:
        """One picture of names."""
        frames = self.frames if self.interpolate else None
        return Picture(tuple(names), self.truncation, self.portrait(), self.columns, frames, choice)

    def _session_threads(self) -> int | None:
        """The threads of one session: 1 if the workers of `draw_files` share it, or if there are few to draw."""
        if self.out_dir is not None:
            return 1
        if self.threads is None and (self.info or self.check):
            return 1
        if self.threads is None and self.names_file is None and (len(self.names) or self.count or 64) <= FEW:
            return 1
        return self.threads
