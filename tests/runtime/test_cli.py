"""avatar-gen: grids and single files that can be had again."""

import hashlib
import io
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
import pytest
from PIL import Image

from avatar_runtime import AvatarGenerator, ModelSpec
from avatar_runtime.command.info import info_text
from avatar_runtime.generator import embedded_model
from avatar_runtime.imaging.arrays import UInt8
from avatar_runtime.imaging.encoding import text_of, writable
from avatar_runtime.imaging.portrait import Portrait
from avatar_runtime.latents import SCHEME
from avatar_runtime.model_file.metadata import KEY

from .conftest import AvatarGen, Command

NASTY = ["", "a/b", "..", ".hidden", "CON", "alice", "Alice", "x" * 300, "\ud800", "a\0b", "a\nb", "-rf", "*", "😀"]

Draw: TypeAlias = Callable[..., str]


@pytest.fixture
def draw(avatar_gen: AvatarGen) -> Draw:
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
        found: dict[str, Any] = json.loads(text_of(image) or "")
    return found


def tiles(sheet: UInt8, size: int = 32) -> UInt8:
    rows, columns = sheet.shape[0] // size, sheet.shape[1] // size
    return sheet.reshape(rows, size, columns, size, 3).swapaxes(1, 2).reshape(-1, size, size, 3)


def test_a_grid_is_of_64_different_tiles_unless_told(folder: Path, installed_avatar_gen: Command) -> None:
    done = installed_avatar_gen("--out", "grid.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("64 avatars in grid.png\nseries ")
    sheet = pixels(folder / "grid.png")
    assert sheet.shape == (256, 256, 3)
    assert len(np.unique(tiles(sheet), axis=0)) == 64
    assert [path.name for path in folder.iterdir()] == ["grid.png"]


def test_without_a_seed_the_printed_one_draws_the_picture_again(
    folder: Path, draw: Draw, generator: AvatarGenerator
) -> None:
    seeds = []
    for out in ("a.png", "b.png"):
        printed = draw("--count", "4", "--out", out)
        [seed] = re.findall(r"draw it again with --seed (\S+)\n", printed)
        assert draw("--count", "4", "--seed", seed, "--out", "again.png") == "4 avatars in again.png\n"
        assert (folder / "again.png").read_bytes() == (folder / out).read_bytes()
        np.testing.assert_array_equal(tiles(pixels(folder / out)), generator.generate(4, seed=seed))
        seeds.append(seed)
    assert seeds[0] != seeds[1]


def test_names_columns_size_and_truncation(folder: Path, draw: Draw, generator: AvatarGenerator) -> None:
    options = ["alice", "--name", "", "--name", "アリス", "--columns", "2", "--size", "96"]
    draw(*options, "--truncation", "0.5", "--out", "grid.png")
    sheet = pixels(folder / "grid.png")
    assert sheet.shape == (2 * 96, 2 * 96, 3)
    found = tiles(sheet, 96)
    faces = generator.generate(["alice", "", "アリス"], truncation=0.5)
    np.testing.assert_array_equal(found[:3], Portrait(96).show(faces))
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
    printed = draw("--seed", "S", "--count", "10", "--size", "64", "--out-dir", "new/faces")
    assert printed == f"10 avatars in {Path('new/faces')}\n"
    assert sorted(path.name for path in (folder / "new/faces").iterdir()) == [f"{i}.png" for i in range(10)]
    for i, expected in enumerate(generator.generate(10, seed="S")):
        path = folder / f"new/faces/{i}.png"
        np.testing.assert_array_equal(pixels(path), Portrait(64).show(expected[None])[0])
        assert text(path)["names"] == [f"S/{i}"]


def test_single_files_of_nasty_names(folder: Path, draw: Draw, generator: AvatarGenerator) -> None:
    printed = draw(*(f"--name={name}" for name in [*NASTY, "alice"]), "--out-dir", "faces")
    assert printed == f"{len(NASTY)} avatars in faces\n"
    files = list((folder / "faces").iterdir())
    assert len({path.name.casefold() for path in files}) == len(files) == len(NASTY)
    assert {path.name for path in files} >= {"alice.png", "a%2Fb.png", "%2E%2E.png", "😀.png"}
    found = {text(path)["names"][0]: pixels(path) for path in files}
    for name, expected in zip(NASTY, generator.generate(NASTY), strict=True):
        np.testing.assert_array_equal(found[name], expected)
    assert [path.name for path in folder.iterdir()] == ["faces"]


def test_names_alone_become_files_here(folder: Path, draw: Draw, generator: AvatarGenerator) -> None:
    assert draw("alice", "a/b", "--name", "-x", "alice") == "alice.png\na%2Fb.png\n-x.png\n"
    for name, expected in zip(["alice", "a%2Fb", "-x"], generator.generate(["alice", "a/b", "-x"]), strict=True):
        np.testing.assert_array_equal(pixels(folder / f"{name}.png"), expected)
    assert draw("bob", "--circle", "--size", "16", "--format", "webp") == "bob.webp\n"
    assert pixels(folder / "bob.webp").shape == (16, 16, 4)
    assert len(list(folder.iterdir())) == 4


def test_names_alone_replace_no_file(folder: Path, draw: Draw, avatar_gen: AvatarGen) -> None:
    (folder / "carol.png").write_bytes(b"a photograph")
    refused = avatar_gen("bob", "carol")
    assert (refused.exit_code, [path.name for path in folder.iterdir()]) == (1, ["carol.png"])
    assert (folder / "carol.png").read_bytes() == b"a photograph"
    assert draw("bob", "carol", "--out-dir", ".") == "2 avatars in .\n"
    assert pixels(folder / "carol.png").shape == (32, 32, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have only Unicode file names")
def test_a_file_name_that_is_no_unicode(folder: Path, installed_avatar_gen: Command) -> None:
    out = os.fsdecode(b"a\xff.png")
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = installed_avatar_gen("--name", "alice", "--out", out, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 avatar in a\ufffd.png\n", "")
    assert [os.fsencode(path.name) for path in folder.iterdir()] == [b"a\xff.png"]


@pytest.mark.parametrize("source", ["-", "team.txt"])
def test_names_out_of_a_file(
    folder: Path, installed_avatar_gen: Command, generator: AvatarGenerator, source: str
) -> None:
    (folder / "team.txt").write_bytes("alice\r\nアリス\r\n".encode())
    with (folder / "team.txt").open("rb") as names:
        done = installed_avatar_gen("--names-file", source, "--out", "a.png", stdin=names)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 avatars in a.png\n", "")
    np.testing.assert_array_equal(tiles(pixels(folder / "a.png")), generator.generate(["alice", "アリス"]))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG", "AVIF"])
def test_standard_output_holds_the_picture_alone(installed_avatar_gen: Command, kind: str) -> None:
    if not writable(f".{kind}"):
        pytest.skip("this Pillow writes no AVIF")
    option = {"PNG": [], "JPEG": ["--format", "jpg"]}.get(kind, ["--format", kind.lower()])
    done: Any = installed_avatar_gen("--count", "4", "--seed", "S", *option, "--out", "-", text=False)
    assert (done.returncode, done.stderr) == (0, b"4 avatars in standard output\n")
    with Image.open(io.BytesIO(done.stdout)) as image:
        image.load()
        assert (image.format, image.size) == (kind, (64, 64))


def test_standard_output_is_no_terminal(folder: Path, installed_avatar_gen: Command) -> None:
    pty = pytest.importorskip("pty")
    master, terminal = pty.openpty()
    done = installed_avatar_gen("--count", "1", "--out", "-", stdout=terminal)
    os.close(terminal)
    os.close(master)
    assert done.returncode == 2
    assert "Error: standard output is a terminal" in done.stderr


def test_json_says_what_was_written(folder: Path, draw: Draw, generator: AvatarGenerator) -> None:
    printed = draw("--name", "alice", "--name", "bob", "--size", "64", "--out-dir", "faces", "--json")
    printed += draw("--count", "3", "--out", "grid.webp", "--json")
    lines = [json.loads(line) for line in printed.splitlines()]
    assert [Path(line["file"]) for line in lines] == [Path("faces/alice.png"), Path("faces/bob.png"), Path("grid.webp")]
    for line in lines:
        path = Path(line.pop("file"))
        assert line.pop("sha256") == hashlib.sha256(path.read_bytes()).hexdigest()
        assert line == text(path)


def test_info_prints_the_metadata(draw: Draw, generator: AvatarGenerator, tiny_model: Path) -> None:
    printed = draw("--info")
    for words in (str(tiny_model), generator.model_sha256, "random weights for tests", SCHEME):
        assert words in printed
    found = json.loads(draw("--info", "--json"))
    assert found["sha256"] == generator.model_sha256
    assert ModelSpec.from_metadata({KEY: json.dumps({"format_version": 1, **found})}) == generator.spec


def test_info_is_in_the_order_in_which_people_read(draw: Draw) -> None:
    lines = draw("--info", "--model", str(embedded_model())).splitlines()
    titles = [line for line in lines if line and line[0] != " "]
    assert titles == ["Model", "What it draws", "How it was made", "Compared with the original", "File"]
    assert lines[1].split() == ["id", AvatarGenerator.load().model_id]
    histogram = [line.split() for line in lines if line.endswith("%")]
    assert [int(level) for level, _ in histogram] == list(range(len(histogram)))
    assert sum(float(share[:-1]) for _, share in histogram) == pytest.approx(100, abs=0.01)
    assert max(map(len, (line for line in lines if " " in line.strip()[27:]))) <= 80


def test_info_of_a_strange_model_stays_readable() -> None:
    parity = {"\x1b[H": 1, "level_histogram": {"x": "y"}, "deep": {"er": [1, None]}}
    text = info_text({"name": "a\x1b[2J", "parity": parity, "new": 3})
    assert "\x1b" not in text
    for words in ("new                      3", "level histogram          x y", "deep                     er 1, None"):
        assert words in text


def test_check_draws_the_golden_images(draw: Draw, avatar_gen: AvatarGen, tiny_model: Path, tmp_path: Path) -> None:
    assert draw("--check") == "tiny@1 draws its golden images exactly as where it was made\n"
    assert json.loads(draw("--check", "--json"))["difference"] == 0
    model = onnx.load(tiny_model)
    [metadata] = [prop for prop in model.metadata_props if prop.key == KEY]
    metadata.value = metadata.value.replace('"alice"', '"bob"')
    onnx.save(model, tmp_path / "other.onnx")
    result = avatar_gen("--check", "--model", str(tmp_path / "other.onnx"))
    assert result.exit_code == 1
    assert "levels off" in result.stderr


def test_shards_write_the_files_of_one_process(folder: Path, draw: Draw) -> None:
    job = ("--seed", "S", "--count", "13", "--out-dir")
    draw(*job, "whole")
    assert [draw(*job, "parts", "--shard", f"{i}/3")[:2] for i in (1, 2, 3)] == ["5 ", "4 ", "4 "]
    whole, parts = ({path.name: path.read_bytes() for path in Path(name).iterdir()} for name in ("whole", "parts"))
    assert whole == parts
    assert draw("--name", "alice", "--out-dir", "empty", "--shard", "2/2") == "0 avatars in empty\n"


@pytest.mark.parametrize(
    ("typed", "meant"), [("--colums", "--columns"), ("--nam", "--name"), ("--outdir", "--out-dir")]
)
def test_a_mistyped_option_is_met_with_the_nearest(avatar_gen: AvatarGen, typed: str, meant: str) -> None:
    said = avatar_gen(typed, "3").stderr
    assert re.search(f"No such option:? '?{typed}'?.*(Did you mean|Possible options).*{meant}", said)


def test_the_help_fits_a_terminal_of_80_columns(avatar_gen: AvatarGen) -> None:
    printed = avatar_gen("--help").output
    assert "Examples:" in printed
    assert max(map(len, printed.splitlines())) <= 80
