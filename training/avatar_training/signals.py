"""How a user stops a run: Ctrl-C, SIGTERM, or the end of msrun."""

import os
import signal
from contextlib import AbstractContextManager

import click

from avatar_training import device


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
