"""Avatars in a terminal: the bytes of each protocol decode to the picture, and --show speaks what the terminal does."""

import base64
import fcntl
import os
import re
import shutil
import struct
import subprocess
import termios
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from avatar_runtime import AvatarGenerator
from avatar_runtime.command.screen import Screen, known_protocol
from avatar_runtime.imaging.arrays import UInt8
from avatar_runtime.imaging.encoding import from_png
from avatar_runtime.imaging.portrait import Portrait
from avatar_runtime.imaging.terminal import CHUNK, half_blocks, iterm2, kitty, sixel

from .conftest import installed

BACKGROUND = (1, 2, 3)
"""What a decoder leaves where a picture has no colour."""
IMAGES = ["faces", "grey", "noise", "circle", "odd"]


@pytest.fixture
def image(request: pytest.FixtureRequest, tiny_model: Path) -> UInt8:
    rng = np.random.default_rng(7)
    if request.param == "faces":
        return next(iter(AvatarGenerator.load().generate(["alice"])))
    if request.param == "grey":
        return rng.integers(0, 256, (12, 20, 1), np.uint8)
    if request.param == "noise":
        return rng.integers(0, 256, (64, 48, 3), np.uint8)
    if request.param == "circle":
        alpha = np.where(np.hypot(*np.mgrid[-9.5:10, -9.5:10]) < 9, 255, 0).astype(np.uint8)
        return np.concatenate([rng.integers(0, 256, (20, 20, 3), np.uint8), alpha[..., None]], axis=2)
    flat = np.zeros((5, 7, 3), np.uint8)
    flat[2:, 3:] = (255, 0, 102)
    return flat


def seen(image: UInt8) -> UInt8:
    """What a person sees of it on BACKGROUND: uint8 [H, W, 3]."""
    rgb = np.broadcast_to(image[..., :3], (*image.shape[:2], 3)).copy()
    if image.shape[2] == 4:
        rgb[image[..., 3] < 128] = BACKGROUND
    return rgb


def from_kitty(text: str) -> UInt8:
    """Decode as the protocol's document says, and hold its rules."""
    assert re.fullmatch(r"(\x1b_G[^;\x1b]*;[A-Za-z0-9+/=]*\x1b\\)+", text)
    parts = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", text)
    keys = [dict(pair.split("=") for pair in part[0].split(",")) for part in parts]
    assert keys[0] == {"a": "T", "f": "100", "q": "2", "m": "0" if len(parts) == 1 else "1"}
    assert [key for key in keys[1:-1] if key != {"m": "1"}] == []
    assert keys[-1]["m"] == "0"
    assert all(len(part[1]) <= CHUNK for part in parts)
    assert all(len(part[1]) % 4 == 0 for part in parts[:-1])
    return from_png(base64.b64decode("".join(part[1] for part in parts), validate=True))


def from_iterm2(text: str) -> UInt8:
    found = re.fullmatch(r"\x1b\]1337;File=inline=1;size=(\d+):([A-Za-z0-9+/=]+)\x07", text)
    assert found is not None
    data = base64.b64decode(found[2], validate=True)
    assert len(data) == int(found[1])
    return from_png(data)


def from_sixel(text: str) -> UInt8:
    """Draw as the VT340 manual says: uint8 [H, W, 3] on BACKGROUND."""
    found = re.fullmatch(r'\x1bP([0-9;]*)q("1;1;(\d+);(\d+))?([^\x1b]*)\x1b\\', text, re.DOTALL)
    assert found is not None
    assert (found[2] is None) or found[1] == "0;1;0"
    sheet = np.full((1000, 1000, 3), BACKGROUND, np.uint8)
    drawn = np.zeros((1000, 1000), np.bool_)
    colours: dict[int, Any] = {}
    x = y = colour = 0
    command = r"#(\d+)(?:;2;(\d+);(\d+);(\d+))?|!(\d+)([?-~])|([?-~])|([$-])|(\s)"
    position = 0
    while position < len(found[5]):
        part = re.compile(command).match(found[5], position)
        assert part is not None, found[5][position : position + 20]
        position = part.end()
        if part[1]:
            colour = int(part[1])
            if part[2]:
                assert max(map(int, part.group(2, 3, 4))) <= 100
                colours[colour] = [round(int(level) * 2.55) for level in part.group(2, 3, 4)]
        elif part[8]:
            x, y = 0, y + 6 * (part[8] == "-")
        elif not part[9]:
            repeat, bits = int(part[5] or 1), ord(part[6] or part[7]) - 63
            for row in range(6):
                if bits >> row & 1:
                    assert not drawn[y + row, x : x + repeat].any(), "a pixel is drawn twice"
                    drawn[y + row, x : x + repeat] = found[2] is not None
                    sheet[y + row, x : x + repeat] = colours[colour]
            x += repeat
    if found[2] is None:
        return sheet
    width, height = int(found[3]), int(found[4])
    assert not drawn[height:].any()
    assert not drawn[:, width:].any()
    return sheet[:height, :width]


def from_half_blocks(text: str) -> UInt8:
    """Draw the lines: uint8 [2 * lines, W, 3] on BACKGROUND."""
    rows = []
    for line in text.split("\n"):
        ink: tuple[int, ...] = BACKGROUND
        paper: tuple[int, ...] = BACKGROUND
        upper, lower = [], []
        for codes, cell in re.findall(r"\x1b\[([0-9;]*)m|(.)", line):
            if cell:
                assert cell in "▀▄ "
                upper.append(ink if cell == "▀" else paper)
                lower.append(ink if cell == "▄" else paper)
                continue
            kind, *rest = map(int, codes.split(";"))
            if kind in (38, 48):
                colour = tuple(rest[1:]) if rest[0] == 2 else xterm(rest[1])
                ink, paper = (colour, paper) if kind == 38 else (ink, colour)
            else:
                assert kind in (0, 49)
                ink, paper = (BACKGROUND if kind == 0 else ink), BACKGROUND
        assert line.endswith("\x1b[0m")
        rows += [upper, lower]
    return np.array(rows, np.uint8)


def xterm(number: int) -> tuple[int, int, int]:
    """The colour of xterm's palette, as its 256colres.h has it."""
    assert 16 <= number <= 231
    red, green, blue = ((0, 95, 135, 175, 215, 255)[(number - 16) // step % 6] for step in (36, 6, 1))
    return red, green, blue


@pytest.mark.parametrize("image", IMAGES, indirect=True)
def test_kitty_and_iterm2_get_the_very_picture(image: UInt8) -> None:
    np.testing.assert_array_equal(from_kitty(kitty(image)), image)
    np.testing.assert_array_equal(from_iterm2(iterm2(image)), image)


def test_the_decoder_of_sixels_draws_the_example_of_the_manual() -> None:
    """VT330/VT340 Programmer Reference Manual, volume 2, chapter 14, "Using Sixel Graphics": HI in two colours."""
    text = "\x1bPq#0;2;0;0;0#1;2;100;100;0#2;2;0;100;0#1~~@@vv@@~~@@~~$#2??}}GG}}??}}??-#1!14@\x1b\\"
    drawn = from_sixel(text)[:7, :14]
    signs = {(255, 255, 0): "#", (0, 255, 0): "."}
    assert ["".join(signs[tuple(pixel)] for pixel in row) for row in drawn.tolist()] == [
        "##############",
        "##..##..##..##",
        "##..##..##..##",
        "##......##..##",
        "##..##..##..##",
        "##..##..##..##",
        "##############",
    ]


@pytest.mark.parametrize("image", IMAGES, indirect=True)
def test_sixels_show_the_picture_in_256_colours(image: UInt8) -> None:
    drawn, expected = from_sixel(sixel(image)), seen(image)
    rgb = np.ascontiguousarray(np.broadcast_to(image[..., :3], (*image.shape[:2], 3)))
    few = np.array(Image.fromarray(rgb).quantize(256).convert("RGB"))
    if image.shape[2] == 4:
        few[image[..., 3] < 128] = BACKGROUND
    assert np.abs(drawn.astype(int) - few).max() <= 2  # colours are whole percents
    assert np.abs(drawn.astype(int) - expected).mean() < 16


@pytest.mark.skipif(shutil.which("sixel2png") is None, reason="libsixel is not installed")
@pytest.mark.parametrize("image", ["faces", "noise", "odd"], indirect=True)
def test_libsixel_decodes_the_same(image: UInt8, tmp_path: Path) -> None:
    (tmp_path / "a.six").write_text(sixel(image))
    subprocess.run(["sixel2png", "-i", "a.six", "-o", "a.png"], cwd=tmp_path, check=True)
    with Image.open(tmp_path / "a.png") as picture:
        decoded = np.array(picture.convert("RGB"))
    assert np.abs(decoded.astype(int) - from_sixel(sixel(image))).max() <= 2


@pytest.mark.parametrize("image", IMAGES, indirect=True)
def test_half_blocks_are_the_picture_in_24_bits_and_near_it_in_256_colours(image: UInt8) -> None:
    height = len(image)
    drawn = from_half_blocks(half_blocks(image))
    np.testing.assert_array_equal(drawn[:height], seen(image))
    assert (drawn[height:] == BACKGROUND).all()
    few = from_half_blocks(half_blocks(image, true_colour=False))[:height].astype(int)
    shown = (seen(image) != BACKGROUND).any(axis=2)
    assert (few[~shown] == BACKGROUND).all()
    assert np.abs(few - seen(image))[shown].max() <= 48  # half of the widest step


@pytest.mark.parametrize(
    ("environment", "answer", "expected"),
    [
        ({}, b"\x1b_Gi=31;OK\x1b\\\x1b[?62c", "kitty"),
        ({}, b"\x1b_Gi=31;ENOTSUPPORTED\x1b\\\x1b[?62c", ""),
        ({}, b"\x1b[?62;4;22c", "sixel"),
        ({}, b"\x1b[?64;22c", ""),
        ({}, b"\x1b[?6c", ""),
        ({}, b"", ""),
        ({"TERM_PROGRAM": "iTerm.app"}, b"\x1b[?62;4c", "iterm2"),
        ({"LC_TERMINAL": "iTerm2"}, b"", "iterm2"),
        ({"LC_TERMINAL": "iTerm2", "TMUX": "/tmp/tmux"}, b"\x1b[?1;2;4c", "sixel"),
        ({"LC_TERMINAL": "iTerm2", "STY": "1.a"}, b"\x1b[?1;2c", ""),
    ],
)
def test_the_protocol_follows_from_what_the_terminal_says(
    environment: dict[str, str], answer: bytes, expected: str
) -> None:
    assert known_protocol(environment, answer) == expected


def test_faces_fit_the_screen() -> None:
    narrow = Screen("", 80, 44)
    assert [narrow.side(64, count) for count in (1, 2, 3, None)] == [44, 40, 26, 26]
    assert narrow.fitting(26) == 3
    window = Screen("kitty", 1280, 800)
    assert (window.side(64, None), window.fitting(128)) == (128, 60)
    assert Screen("sixel", 100, 800).side(64, 1) == 100


Terminal = Callable[..., tuple[int, str]]


@pytest.fixture
def terminal(tiny_model: Path, folder: Path) -> Terminal:
    """terminal(answer, *options): avatar-gen in a terminal of 80 columns, 24 lines and 192x128 pixels, which answers
    questions so: the exit status, and all that came to the screen.
    """
    pty = pytest.importorskip("pty")

    def run(answer: bytes, *options: str, **environment: str) -> tuple[int, str]:
        master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 192, 128))
        kept = {key: value for key, value in os.environ.items() if key not in ("TMUX", "STY", "TERM_PROGRAM")}
        process = subprocess.Popen(
            [installed("avatar-gen"), "--model", str(tiny_model), *options],
            env={**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment},
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(terminal)
        shown = b""
        with suppress(OSError):  # nobody holds the terminal any more
            while part := os.read(master, 65536):
                shown += part
                if shown.endswith(b"\x1b[c"):
                    os.write(master, answer)
        os.close(master)
        return process.wait(), shown.decode().replace("\r\n", "\n")

    return run


def test_a_terminal_with_kittys_protocol_shows_pictures(terminal: Terminal, tiny_model: Path) -> None:
    status, screen = terminal(b"\x1b_Gi=31;OK\x1b\\\x1b[?62c", "--show", "alice", "bob")
    assert status == 0
    [picture] = re.findall(r"(?:\x1b_G[am][^\x1b]*\x1b\\)+", screen)
    faces = Portrait(64).show(AvatarGenerator.load(tiny_model).generate(["alice", "bob"]))
    np.testing.assert_array_equal(from_kitty(picture), np.concatenate(list(faces), axis=1))
    assert list(Path().iterdir()) == []


def test_a_bare_call_shows_a_series_where_pictures_can_be_shown(terminal: Terminal) -> None:
    status, screen = terminal(b"\x1b[?62;4c")
    assert status == 0
    [picture] = re.findall(r"\x1bP.*?\x1b\\", screen, re.DOTALL)
    assert from_sixel(picture).shape == (2 * 64, 3 * 64, 3)  # the window has 192x128 pixels
    assert re.search(r"\nseries \S+: draw it again with --seed ", screen)


def test_a_bare_call_elsewhere_says_what_can_be_done(terminal: Terminal) -> None:
    status, screen = terminal(b"\x1b[?62c")
    assert status == 2
    assert "Error: say what to draw and where: avatar-gen alice writes alice.png" in screen
    assert "\x1b_G" not in terminal(b"", TERM="dumb")[1]


def test_other_terminals_show_half_blocks_when_asked(terminal: Terminal, tiny_model: Path) -> None:
    status, screen = terminal(b"\x1b[?62c", "--show", "alice", "bob")
    assert status == 0
    blocks = screen[screen.index("\x1b[38;") :].removesuffix("\n")
    faces = AvatarGenerator.load(tiny_model).generate(["alice", "bob"])
    np.testing.assert_array_equal(from_half_blocks(blocks), np.concatenate(list(faces), axis=1))
    assert "\x1b[48;5;" in terminal(b"\x1b[?62c", "--show", "alice", COLORTERM="")[1]


def test_a_shown_picture_has_the_colours_of_its_circle(terminal: Terminal) -> None:
    status, screen = terminal(b"\x1b[?62c", "--show", "alice", "--circle", "--size", "16")
    assert status == 0
    drawn = from_half_blocks(screen[screen.index("\x1b[0m ") :].removesuffix("\n"))
    assert (drawn[[0, 0, -1, -1], [0, -1, 0, -1]] == BACKGROUND).all()
