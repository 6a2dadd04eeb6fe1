"""The options of avatar-gen: what they mean together, and which contradict each other."""

import sys
from collections.abc import Iterable
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
"""So many avatars are few."""


class Options(SimpleNamespace):
    """The options of avatar-gen, as click has read them. A dataclass of so many takes 2 ms to make."""

    given: frozenset[str]
    """Which of those below were given, and are not at their defaults."""
    names: tuple[str, ...]
    names_file: BinaryIO | None
    interpolate: tuple[str, str] | None
    frames: int
    seed: str | None
    count: int | None
    truncation: float
    best_of: int | None
    critic: Path | None
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
    model: Path | None
    providers: tuple[str, ...]
    threads: int | None
    exact: bool

    @property
    def to_stdout(self) -> bool:
        """Whether the picture itself goes to standard output."""
        return self.out == Path("-")

    @property
    def extension(self) -> str:
        """Of the files to write."""
        return self.out.suffix if self.out and not self.to_stdout else f".{self.format or 'png'}"

    @property
    def session_threads(self) -> int | None:
        """For a model: one where each of `draw_files`' workers runs it, and for a few, which are drawn sooner than
        a second thread is there, 20 ms.
        """
        few = self.info or self.check or (self.names_file is None and (len(self.names) or self.count or 64) <= FEW)
        return 1 if self.out_dir is not None or (few and self.threads is None) else self.threads

    def generator(self) -> AvatarGenerator:
        """The model that draws."""
        return AvatarGenerator.load(
            self.model, providers=self.providers or None, threads=self.session_threads, exact=self.exact
        )

    def chooser(self) -> "BestOf | None":
        """What keeps the best of several candidates, if that is asked for."""
        if self.best_of is None or self.critic is None:
            return None
        from avatar_runtime.ranking import BestOf, Critic

        return BestOf(Critic.load(self.critic, threads=self.session_threads), self.best_of)

    def portrait(self) -> Portrait:
        """How an avatar is to be shown."""
        return Portrait(self.size, self.circle, self.background)

    def picture(self, names: Iterable[str], choice: "Choice | None" = None) -> Picture:
        """One picture of names."""
        frames = self.frames if self.interpolate else None
        return Picture(tuple(names), self.truncation, self.portrait(), self.columns, frames, choice)

    def all_names(self) -> list[str] | None:
        """The names given, in any of three ways; None if a series is asked for."""
        if self.names_file is None:
            return list(self.interpolate or self.names) or None
        names = list(read_names(self.names_file, self.names_file.name))
        if not names:
            raise InputError(f"{self.names_file.name} holds no name")
        return names

    def check_drawing(self) -> None:
        """Raise InputError for options that contradict each other."""
        given = {
            "--name": bool(self.names),
            "--names-file": self.names_file is not None,
            "--interpolate": self.interpolate is not None,
            "--seed and --count": self.seed is not None or self.count is not None,
        }
        sources = [source for source, is_given in given.items() if is_given]
        if len(sources) > 1:
            raise InputError(f"{sources[0]} and {sources[1]} both say what to draw: use one or the other")
        if (self.out is None) == (self.out_dir is None):
            raise InputError("say where to draw: either --out FILE for one picture or --out-dir DIR for many")
        if (self.best_of is None) != (self.critic is None):
            raise InputError("--best-of K and --critic FILE go together: the critic judges the K candidates")
        if self.interpolate is None and "frames" in self.given:
            raise InputError("--frames are those of --interpolate A B")
        if self.interpolate is not None and self.out is None:
            raise InputError("--interpolate draws one animation: it needs --out, not --out-dir")
        if self.out_dir is not None and self.columns is not None:
            raise InputError("--columns arranges a grid; it has no use with --out-dir")
        if self.format is not None and self.out is not None and not self.to_stdout:
            raise InputError("--format is for --out-dir and --out -; the name of --out FILE says its format")
        if self.shard is not None and (self.out_dir is None or not self.given & {"names", "names_file", "seed"}):
            raise InputError("--shard shares out single files: it needs --out-dir, and --seed or names")
        if self.to_stdout and self.json:
            raise InputError("--out - and --json both want standard output: use one or the other")
        self.picture(("", "")).check_format(self.extension)
        if self.to_stdout and sys.stdout.isatty():
            raise InputError("standard output is a terminal, which shows no picture: send it to a file or a program")
