"""The terminal as a screen: whether it shows pictures, how large it is, and showing one."""

import os
import re
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from avatar_runtime.errors import InputError
from avatar_runtime.imaging.arrays import UInt8

WAIT_SECONDS = 1.0
"""How long a terminal may take to answer; over a slow line it is far away."""

SMALLEST = 26
"""Half-blocks of an avatar's side: three are a row of 80 columns, and a face can still be told."""

_ASK_KITTY = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
"""The query of kitty's protocol ("Querying support"); other terminals skip it."""
_ASK_ATTRIBUTES = "\x1b[c"
"""Primary device attributes (DA1), which every terminal answers; 4 among them means sixels."""
_ATTRIBUTES = rb"\x1b\[\?([0-9;]*)c"


@dataclass(frozen=True)
class Screen:
    """What a terminal can show."""

    protocol: str
    """"kitty", "iterm2", "sixel", or "" for half-blocks."""
    width: int
    """Pixels; a half-block is one wide, and two of them one above the other are a line."""
    height: int
    true_colour: bool = True

    def side(self, image_size: int, count: int | None) -> int:
        """Height and width of an avatar among count of them; None: of a series as long as the screen has room for."""
        if self.protocol:
            return min(2 * image_size, self.width, self.height)
        return min(image_size, self.width, self.height, max(SMALLEST, self.width // count if count else 0))

    def render(self, image: UInt8) -> str:
        """What to print so that the terminal shows an image, uint8 [H, W, C]."""
        from avatar_runtime.imaging import terminal

        if not self.protocol:
            return terminal.half_blocks(image, true_colour=self.true_colour)
        shown: str = getattr(terminal, self.protocol)(image)
        return shown

    def fitting(self, side: int) -> int:
        """How many avatars fit, at least 1."""
        return max(1, self.width // side) * max(1, self.height // side)


def open_screen() -> Screen:
    """Look at the terminal of standard output. Raises InputError if it is not a terminal."""
    if not sys.stdout.isatty():
        raise InputError("standard output is not a terminal, so nothing can be shown: write a file with --out FILE")
    environment = os.environ
    protocol = known_protocol(environment, _ask(environment))
    try:
        "▀".encode(sys.stdout.encoding)
    except UnicodeEncodeError as err:
        if not protocol:
            raise InputError(
                f"this terminal's encoding, {sys.stdout.encoding}, has no half-blocks: write a file with --out FILE"
            ) from err
    columns, rows, width, height = _size()
    if protocol:
        return Screen(protocol, width or 8 * columns, height or 16 * rows)
    direct = environment.get("TERM", "").endswith("-direct") or "WT_SESSION" in environment
    true_colour = environment.get("COLORTERM") in ("truecolor", "24bit") or direct
    return Screen("", columns, 2 * max(4, rows - 2), true_colour)  # less the prompt and the message


def known_protocol(environment: Mapping[str, str], answer: bytes) -> str:
    """The protocol of a terminal with this environment that answers so to the two questions."""
    if not _is_multiplexed(environment) and "iTerm" in (
        environment.get("LC_TERMINAL", "") + environment.get("TERM_PROGRAM", "")
    ):
        return "iterm2"
    if b"_Gi=31;OK" in answer:
        return "kitty"
    attributes = re.search(_ATTRIBUTES, answer)
    return "sixel" if attributes and b"4" in attributes[1].split(b";") else ""


def _is_multiplexed(environment: Mapping[str, str]) -> bool:
    """Whether tmux or screen stands between: they pass on neither kitty's protocol nor iTerm2's."""
    return "TMUX" in environment or "STY" in environment


def _ask(environment: Mapping[str, str]) -> bytes:
    """What the terminal answers, b"" if it cannot be asked."""
    if environment.get("TERM", "dumb") in ("dumb", "linux") or environment.get("TERM_PROGRAM") == "Apple_Terminal":
        return b""  # the last writes the question on the screen
    try:
        import select
        import termios
        import tty
    except ImportError:  # Windows
        return b""
    question = _ASK_ATTRIBUTES if _is_multiplexed(environment) else _ASK_KITTY + _ASK_ATTRIBUTES
    answer = b""
    with suppress(OSError, termios.error):
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        try:
            if os.tcgetpgrp(terminal) != os.getpgrp():  # in the background, where asking would stop the process
                return b""
            before = termios.tcgetattr(terminal)
            try:
                tty.setcbreak(terminal, termios.TCSADRAIN)
                os.write(terminal, question.encode())
                while not re.search(_ATTRIBUTES, answer) and select.select([terminal], [], [], WAIT_SECONDS)[0]:
                    answer += os.read(terminal, 4096)
            finally:
                termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        finally:
            os.close(terminal)
    return answer


def _size() -> tuple[int, int, int, int]:
    """Columns and rows, and width and height in pixels, 0 where the terminal does not tell."""
    try:
        import fcntl
        import struct
        import termios

        rows, columns, width, height = struct.unpack("4H", fcntl.ioctl(1, termios.TIOCGWINSZ, bytes(8)))
    except (ImportError, OSError):  # Windows
        return (*shutil.get_terminal_size(), 0, 0)
    return columns or 80, rows or 24, width, height
