"""avatar-gen: grids and single files that can be had again."""

import json
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, TypeAlias

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from avatar_runtime import AvatarGenerator
from avatar_runtime.files import file_stems
from avatar_runtime.latents import SCHEME
from avatar_runtime.pixels import TEXT_KEY, UInt8

Draw: TypeAlias = Callable[..., str]
Command: TypeAlias = Callable[..., CompletedProcess[str]]

NASTY = ["", "a/b", "a\\b", "..", ".", ".hidden", "CON", "nul.txt", "alice", "Alice", "ALICE", "x" * 300, "x" * 301]
NASTY += ["アリス" * 100, "\ud800", "\udfff", "a\0b", "a\nb", "a ", "a.", "a%2Fb", "-rf", "*", "😀", "e3b0c44298fc1c14"]


@pytest.fixture(scope="module")
def generator(tiny_model: Path) -> AvatarGenerator:
    return AvatarGenerator.load(tiny_model)


@pytest.fixture
def draw(avatar_gen: Callable[..., Result]) -> Draw:
    def run(*options: str) -> str:
        result = avatar_gen(*options)
        assert (result.exit_code, result.stderr) == (0, ""), result.output
        return result.stdout

    return run


def pixels(path: Path) -> UInt8:
    with Image.open(path) as image:
        return np.array(image)


def text(path: Path) -> dict[str, Any]:
    with Image.open(path) as image:
        found: dict[str, Any] = json.loads(image.info[TEXT_KEY])
    return found


def tiles(sheet: UInt8, size: int = 32) -> UInt8:
    rows, columns = sheet.shape[0] // size, sheet.shape[1] // size
    return sheet.reshape(rows, size, columns, size, 3).swapaxes(1, 2).reshape(-1, size, size, 3)


def test_a_grid_of_64_different_tiles(folder: Path, installed_avatar_gen: Command) -> None:
    done = installed_avatar_gen("--count", "64", "--out", "grid.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("64 avatars in grid.png\nseries ")
    sheet = pixels(folder / "grid.png")
    assert sheet.shape == (256, 256, 3)
    assert len(np.unique(tiles(sheet), axis=0)) == 64
    assert [path.name for path in folder.iterdir()] == ["grid.png"]


def test_64_is_the_number_unless_told(folder: Path, draw: Draw) -> None:
    draw("--seed", "S", "--out", "all.png")
    draw("--seed", "S", "--out", "64.png", "--count", "64")
    assert (folder / "all.png").read_bytes() == (folder / "64.png").read_bytes()


def test_a_seed_draws_its_series_again_byte_for_byte(folder: Path, draw: Draw, generator: AvatarGenerator) -> None:
    for out in ("a.png", "b.png"):
        printed = draw("--seed", "team", "--count", "9", "--out", out)
        assert printed == f"9 avatars in {out}\n"
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()
    np.testing.assert_array_equal(tiles(pixels(folder / "a.png")), generator.generate(9, seed="team"))


def test_without_a_seed_the_printed_one_draws_the_picture_again(folder: Path, draw: Draw) -> None:
    seeds = []
    for out in ("a.png", "b.png"):
        printed = draw("--count", "4", "--out", out)
        [seed] = re.findall(r"draw it again with --seed (\S+)\n", printed)
        draw("--count", "4", "--seed", seed, "--out", "again.png")
        assert (folder / "again.png").read_bytes() == (folder / out).read_bytes()
        seeds.append(seed)
    assert seeds[0] != seeds[1]


def test_names_columns_size_and_truncation(folder: Path, draw: Draw, generator: AvatarGenerator) -> None:
    options = ["--name", "alice", "--name", "", "--name", "アリス", "--columns", "2", "--size", "96"]
    draw(*options, "--truncation", "0.5", "--out", "grid.png")
    sheet = pixels(folder / "grid.png")
    assert sheet.shape == (2 * 96, 2 * 96, 3)
    np.testing.assert_array_equal(sheet, sheet[::3, ::3].repeat(3, 0).repeat(3, 1))
    found = tiles(sheet[::3, ::3])
    np.testing.assert_array_equal(found[:3], generator.generate(["alice", "", "アリス"], truncation=0.5))
    assert (found[3] == 255).all()


def test_a_png_says_how_to_draw_it_again(folder: Path, draw: Draw, generator: AvatarGenerator) -> None:
    draw("--seed", "S", "--count", "3", "--truncation", "0.7", "--out", "grid.png")
    assert text(folder / "grid.png") == {
        "names": ["S/0", "S/1", "S/2"],
        "truncation": 0.7,
        "scheme": SCHEME,
        "model": generator.model_sha256,
    }


@pytest.mark.parametrize(("out", "kind"), [("a.webp", "WEBP"), ("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.PNG", "PNG")])
def test_the_extension_chooses_the_format(folder: Path, draw: Draw, out: str, kind: str) -> None:
    draw("--count", "4", "--out", out)
    with Image.open(folder / out) as image:
        assert (image.format, image.size) == (kind, (64, 64))


def test_single_files_of_a_series(folder: Path, draw: Draw, generator: AvatarGenerator) -> None:
    printed = draw("--seed", "S", "--count", "12", "--size", "64", "--out-dir", "new/faces")
    assert printed == f"12 avatars in {Path('new/faces')}\n"
    assert sorted(path.name for path in (folder / "new/faces").iterdir()) == [f"{i:02}.png" for i in range(12)]
    for i, expected in enumerate(generator.generate(12, seed="S")):
        path = folder / f"new/faces/{i:02}.png"
        np.testing.assert_array_equal(pixels(path), expected.repeat(2, 0).repeat(2, 1))
        assert text(path)["names"] == [f"S/{i}"]


def test_single_files_of_nasty_names(folder: Path, draw: Draw, generator: AvatarGenerator) -> None:
    options = [option for name in NASTY for option in ("--name", name)]
    draw(*options, "--out-dir", "faces")
    files = list((folder / "faces").iterdir())
    assert len({path.name.casefold() for path in files}) == len(files) == len(NASTY)
    assert {path.name for path in files} >= {"alice.png", "a%2Fb.png", "%2E%2E.png", "😀.png"}
    found = {text(path)["names"][0]: pixels(path) for path in files}
    for name, expected in zip(NASTY, generator.generate(NASTY), strict=True):
        np.testing.assert_array_equal(found[name], expected)
    assert [path.name for path in folder.iterdir()] == ["faces"]


def test_different_names_have_different_safe_file_names() -> None:
    short = ["".join(letters) for n in range(4) for letters in product("aA./%- \ud800é", repeat=n)]
    names = [*short, *NASTY]
    names += file_stems(names)  # names that look like our own file names
    names = list(dict.fromkeys(names))
    stems = file_stems(names)
    assert len({stem.casefold() for stem in stems}) == len(names)
    for stem in stems:
        assert len(f"{stem}.png".encode()) <= 128
        assert not re.search(r'^\.|^$|[\x00-\x1f<>:"/\\|?*]|[. ]$', stem)


@pytest.mark.parametrize("name", ["CON", "con", "nul.tar", "COM1", "lpt9.x", "Aux"])
def test_devices_of_windows_are_no_file_names(name: str) -> None:
    assert re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{16}}", file_stems([name])[0])


def test_a_progress_bar_is_drawn_on_a_terminal(folder: Path, installed_avatar_gen: Command) -> None:
    pty = pytest.importorskip("pty")
    master, terminal = pty.openpty()
    done = installed_avatar_gen("--count", "100", "--out-dir", "faces", stderr=terminal)
    os.close(terminal)
    seen = b""
    with os.fdopen(master, "rb", buffering=0) as bar, suppress(OSError):  # a terminal nobody holds ends with an error
        while part := bar.read(4096):
            seen += part
    assert done.returncode == 0
    assert b"drawing" in seen
    assert b"100%" in seen


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have only Unicode file names")
def test_a_file_name_that_is_no_unicode(folder: Path, installed_avatar_gen: Command) -> None:
    out = os.fsdecode(b"a\xff.png")
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = installed_avatar_gen("--name", "alice", "--out", out, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 avatar in a\ufffd.png\n", "")
    assert [os.fsencode(path.name) for path in folder.iterdir()] == [b"a\xff.png"]
