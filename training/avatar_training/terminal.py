"""A run in a terminal: its progress bar, and how a user stops it."""

import os
import signal
import sys
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import click

from avatar_training import device


class ProgressBar(ExitStack):
    """A progress bar on a terminal's stderr that appears with the first progress and closes when full."""

    def __init__(self, label: str, show_pos: bool = True) -> None:
        super().__init__()
        self.label, self.show_pos = label, show_pos
        self.bar: Any = None

    def show(self, done: int, total: int, note: str | None = None) -> None:
        """Show how much is done, with a note behind the bar."""
        if not sys.stderr.isatty():
            return
        if self.bar is None:
            bar = click.progressbar(
                length=total,
                label=self.label,
                show_pos=self.show_pos,
                show_eta=False,  # click's assumes a start at 0; a resumed run starts later
                item_show_func=lambda item: item,
                file=sys.stderr,
            )
            self.bar = self.enter_context(bar)
        self.bar.update(done - self.bar.pos, note)
        if done == total:
            self.close()


class StopRequest(AbstractContextManager["StopRequest"]):
    """Catches the first SIGINT or SIGTERM, so that the run can finish its step and save; a second one kills it.

    msrun does not pass a SIGTERM on to its workers, so a worker treats the end of msrun as one.
    """

    def __init__(self) -> None:
        self.number = 0
        self.launcher = os.getppid() if device.under_msrun() else None
        self.old = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def __call__(self) -> bool:
        """Whether to stop. Call it after each step: MindSpore installs its own handlers when it compiles a graph."""
        if not self.number:
            for number in self.old:
                signal.signal(number, self._receive)
            if self.launcher not in (None, os.getppid()):
                self.number = signal.SIGTERM
        return bool(self.number)

    def _receive(self, number: int, frame: object) -> None:
        self.number = number
        self._restore()
        click.echo("\nsaving after this step; press again to quit without saving", err=True)

    def _restore(self) -> None:
        for number, handler in self.old.items():
            signal.signal(number, handler)

    def __exit__(self, *error: object) -> None:
        self._restore()
