"""The options of avatar-gen: which contradict each other, and what they make together."""

import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, BinaryIO

from avatar_runtime.command.screen import Screen, open_screen
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
    replace: bool = True
    """Whether files that exist are replaced."""
    screen: Screen | None = None
    """The terminal, if it is to show the avatars."""
    names: tuple[str, ...]
    names_file: BinaryIO | None
    interpolate: tuple[str, str] | None
    frames: int
    seed: str | None
    count: int | None
    truncation: float
    best_of: int | None
    scorer: Path | None
    show: bool
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
            "names": bool(self.names),
            "--names-file": self.names_file is not None,
            "--interpolate": self.interpolate is not None,
            "--seed and --count": self.seed is not None or self.count is not None,
        }
        given = [source for source, is_given in sources.items() if is_given]
        if len(given) > 1:
            raise InputError(f"{given[0]} and {given[1]} both say what to draw: use one or the other")
        self._choose_place()
        if (self.best_of and not self.scorer) or ("scorer" in self.given and not self.best_of):
            raise InputError("--best-of K and --scorer FILE go together: the scorer scores the K candidates")
        if self.interpolate is None and "frames" in self.given:
            raise InputError("--frames belongs to --interpolate A B")
        if self.interpolate is not None and self.out is None:
            raise InputError("--interpolate draws one animation: it needs --out FILE")
        if self.out_dir is not None and "columns" in self.given:
            raise InputError("--columns arranges a grid; single files have no columns")
        if "format" in self.given and self.out_dir is None and not self.to_stdout:
            raise InputError("--format is for single files and --out -; the name of --out FILE says its format")
        is_repeatable = bool(self.names or self.names_file) or self.seed is not None
        if self.shard is not None and (self.out_dir is None or not is_repeatable):
            raise InputError("--shard divides single files: it needs --out-dir, and --seed or names")
        if (self.to_stdout or self.screen) and self.json:
            raise InputError(f"{'--show' if self.screen else '--out -'} and --json both want standard output: use one")
        self.picture(("", "")).check_format(self.extension)
        if self.to_stdout and sys.stdout.isatty():
            raise InputError("standard output is a terminal: use --show, or send the picture to a file or a program")

    def _choose_place(self) -> None:
        """Without a place, names become files here, and a series is shown if the terminal can show pictures."""
        places = {"--show": self.show, "--out": self.out is not None, "--out-dir": self.out_dir is not None}
        given = [place for place, is_given in places.items() if is_given]
        if len(given) > 1:
            raise InputError(f"{given[0]} and {given[1]} both say where to draw: use one or the other")
        if self.show:
            self.screen = open_screen()
        if given or self.interpolate is not None:
            return
        if self.names:
            self.out_dir, self.replace = Path(), False
            return
        if self.names_file is None and sys.stdout.isatty():
            self.screen = open_screen()
        if self.screen is None or not self.screen.protocol:
            raise InputError(
                "say what to draw and where: avatar-gen alice writes alice.png, --show shows avatars in this terminal, "
                "--out FILE writes one picture and --out-dir DIR many"
            )

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
        has_background = self.circle or "background" in self.given
        return Portrait(self.size, self.circle, self.background if has_background else None)

    def picture(self, names: Iterable[str], choice: "Choice | None" = None) -> Picture:
        """One picture of names."""
        frames = self.frames if self.interpolate else None
        columns = self.columns if frames is None or "columns" in self.given else None
        return Picture(tuple(names), self.truncation, self.portrait(), columns, frames, choice)

    def _session_threads(self) -> int | None:
        """The threads of one session: 1 if the workers of `draw_files` share it, or if there are few to draw."""
        if self.out_dir is not None:
            return 1
        if self.threads is None and (self.info or self.check):
            return 1
        if self.threads is None and self.names_file is None and (len(self.names) or self.count or 64) <= FEW:
            return 1
        return self.threads
