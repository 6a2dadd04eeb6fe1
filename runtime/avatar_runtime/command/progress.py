"""The progress bar of the four commands."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, TypeVar

import click

T = TypeVar("T")

REDRAW_SECONDS = 0.1
"""Drawing it for each of 3,000 avatars a second would slow them down."""


def say(message: str) -> None:
    """Print a sentence on standard error, in the place of a bar that is shown there; the bar comes back below."""
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", file=sys.stderr, nl=False)
    click.echo(message, file=sys.stderr)


class ProgressBar(ExitStack):
    """A bar with the time left, on standard error where that is a terminal, and nothing elsewhere.

    It appears with the first progress and closes when full. Not click's own time left: that of a resumed run would
    count what was done before.
    """

    def __init__(self, label: str, *, show_pos: bool = True) -> None:
        super().__init__()
        self.label, self.show_pos = label, show_pos
        self.bar: Any = None
        self.first = (0, 0.0)
        self.shown = 0.0

    def show(self, done: int, total: int, note: str = "") -> None:
        """Show how much is done, with a note behind the time left."""
        if not sys.stderr.isatty():
            return
        now = time.monotonic()
        if self.bar is not None and done < total and now - self.shown < REDRAW_SECONDS:
            return
        self.shown = now
        if self.bar is None:
            self.first = (done, now)
            bar = click.progressbar(
                length=total,
                label=self.label,
                show_pos=self.show_pos,
                show_eta=False,
                item_show_func=lambda item: item,
                file=sys.stderr,
            )
            self.bar = self.enter_context(bar)
        self.bar.update(done - self.bar.pos, ", ".join(filter(None, (self._left(done, total, now), note))))
        if done >= total:
            self.close()
            self.bar = None

    def show_bytes(self, received: int, total: int | None) -> None:
        """Show how much of a transfer has come, if its length is known."""
        if total:
            self.show(received, total, f"{received / 1e6:.1f} of {total / 1e6:.1f} MB")

    def watch(self, items: Iterable[T], total: int) -> Iterator[T]:
        """Pass items through, and show how many have passed."""
        with self:
            for done, item in enumerate(items):
                self.show(done, total)
                yield item
            if self.bar is not None:
                self.show(total, total)

    def _left(self, done: int, total: int, now: float) -> str:
        first, start = self.first
        if not first < done < total:
            return ""
        seconds = (now - start) / (done - first) * (total - done)
        return f"{timedelta(seconds=round(min(seconds, 1e12)))} left"
