"""A picture says in its text how it is drawn, and is drawn again from it."""

import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence, PngImagePlugin

from avatar_runtime import AvatarGenerator, InputError
from avatar_runtime.imaging.animation import encode_animation
from avatar_runtime.imaging.encoding import TEXT_KEY, text_of, text_options, writable
from avatar_runtime.imaging.portrait import Portrait
from avatar_runtime.output.picture import Picture, read_text
from avatar_runtime.output.reproduction import reproduce
from avatar_runtime.ranking import Choice

from .conftest import AvatarGen

PICTURES = [
    Picture(("alice",)),
    Picture(("アリス", "\ud800", "a\0b", "", "x" * 5000), 0.5, columns=2),
    Picture(("alice", "bob"), portrait=Portrait(50)),
    Picture(("alice", "bob", "carol"), portrait=Portrait(64, circle=True, background="#fc0")),
    Picture(("alice", "bob", "carol"), 2, Portrait(circle=True)),
    Picture(("alice", "bob"), choice=Choice((0, 3), 4, "ab" * 32)),
]
IDS = ["one", "odd names", "size", "background", "transparent", "chosen"]
MORPHS = [
    Picture(("alice", "bob"), frames=5),
    Picture(("alice", "bob"), 0.7, Portrait(48, circle=True, background="white"), frames=2),
]


@pytest.mark.parametrize("extension", [".png", ".webp", ".jpg", ".avif"])
@pytest.mark.parametrize("picture", PICTURES, ids=IDS)
def test_what_was_drawn_is_drawn_again(
    tmp_path: Path, generator: AvatarGenerator, picture: Picture, extension: str
) -> None:
    if picture.portrait.transparent and extension == ".jpg":
        with pytest.raises(InputError, match=r"\.jpg has no soft transparency .* give a background, or use \.png"):
            picture.render(generator, extension)
        return
    if not writable(extension):
        with pytest.raises(InputError, match="this Pillow writes no AVIF"):
            picture.render(generator, extension)
        return
    path = tmp_path / f"a{extension}"
    path.write_bytes(picture.render(generator, extension))
    found = reproduce(path, generator)
    assert found.picture == picture
    assert (found.data, found.difference) == (path.read_bytes(), 0)


@pytest.mark.parametrize("extension", [".gif", ".webp", ".png"])
@pytest.mark.parametrize("morph", MORPHS, ids=["plain", "circle"])
def test_an_animation_goes_there_and_back_and_is_drawn_again(
    tmp_path: Path, generator: AvatarGenerator, morph: Picture, extension: str
) -> None:
    path = tmp_path / f"a{extension}"
    path.write_bytes(morph.render(generator, extension))
    found = reproduce(path, generator)
    assert (found.picture, found.data, found.difference) == (morph, path.read_bytes(), 0)
    drawn = morph.draw(generator)
    np.testing.assert_array_equal(drawn[0], Picture(("alice",), morph.truncation, morph.portrait).draw(generator)[0])
    with Image.open(path) as image:
        frames = [np.asarray(frame.convert("RGB"), int) for frame in ImageSequence.Iterator(image)]
        assert (image.info["loop"], image.info["duration"]) == (0, 50)
    expected = [*drawn, *drawn[-2:0:-1]]
    assert len(frames) == len(expected) == 2 * len(drawn) - 2
    for frame, image in zip(frames, expected, strict=True):
        assert np.abs(frame - image).mean() <= (12 if extension == ".gif" else 0)  # 256 colours for what is noise


def test_another_animation_is_told_apart(tmp_path: Path, generator: AvatarGenerator) -> None:
    shorter = MORPHS[0].draw(generator)[:4]
    (tmp_path / "a.png").write_bytes(encode_animation(shorter, ".png", MORPHS[0].text(generator)))
    assert reproduce(tmp_path / "a.png", generator).difference == 255


def test_one_changed_level_is_seen(tmp_path: Path, generator: AvatarGenerator) -> None:
    picture = Picture(("alice", "bob"))
    [pixels] = picture.draw(generator)
    pixels[5, 40, 1] ^= 4
    info = text_options("PNG", picture.text(generator))
    Image.fromarray(pixels).save(tmp_path / "a.png", **info)
    assert reproduce(tmp_path / "a.png", generator).difference == 4


def test_empty_cells_are_white_transparent_or_the_background(generator: AvatarGenerator) -> None:
    for portrait, empty in (
        (Portrait(), [255] * 3),
        (PICTURES[4].portrait, [0] * 4),
        (PICTURES[3].portrait, [255, 204, 0]),
    ):
        [sheet] = Picture(("a", "b", "c"), portrait=portrait).draw(generator)
        side = portrait.side(32)
        np.testing.assert_array_equal(sheet[side:, side:], np.broadcast_to(np.array(empty), (side, side, len(empty))))


def test_the_text_of_thousands_of_names_is_kept_but_by_a_jpeg() -> None:
    text = {"names": [*(f"a rather long name, number {i}" for i in range(5000)), "é" * 400_000]}
    for format_name, kept in (("PNG", text), ("WEBP", text), ("JPEG", None)):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, format_name, **text_options(format_name, text))
        found = text_of(Image.open(buffer))
        assert (found and json.loads(found)) == kept


def altered(generator: AvatarGenerator, **changes: Any) -> str:
    text = PICTURES[1].text(generator) | {"best_of": 4, "scorer": "ab" * 32}
    return json.dumps(text | changes)


MORPH = {"names": ["a", "b"], "columns": None, "truncation": 1.0}
MANY = {"names": ["a"] * 10**6, "columns": None}


@pytest.mark.parametrize("content", ["", "hello", "[]", "7", "null", "{}", '{"names": ["a"]}', "[" * 100_000])
def test_a_foreign_text_is_told_apart(content: str) -> None:
    with pytest.raises(InputError, match="not one that avatar-edge writes"):
        read_text(content)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("names", []),
        ("names", "alice"),
        ("names", ["a", 7]),
        ("truncation", -1),
        ("truncation", float("nan")),
        ("truncation", "1"),
        ("columns", 0),
        ("columns", True),
        ("columns", "2"),
        ("size", 10**9),
        ("size", [64]),
        ("background", "white"),
        ("frames", 1),
        ("frames", 5),
        ("candidates", [0]),
        ("candidates", 3),
        ("candidates", [0, 1, 2, 3, 9]),
    ],
)
def test_a_damaged_text_is_refused(generator: AvatarGenerator, key: str, value: Any) -> None:
    with pytest.raises(InputError, match="its text is damaged"):
        read_text(altered(generator, **{key: value}))


@pytest.mark.parametrize(
    ("changes", "size", "message"),
    [
        ({"names": ["a"] * 7}, (64, 96), "it has 64x96 pixels, but its text says 64x128"),
        ({"size": 4096}, (64, 96), "it has 64x96 pixels, but its text says 8192x12288"),
        ({"names": ["a"] * 10**5, "columns": 1}, (64, 96), "more than 16384"),
        ({"model": "ab" * 32}, (64, 96), "it was drawn by another model, the one with SHA-256 abab"),
        ({"scheme": "other-2"}, (64, 96), "by the latent scheme 'other-2'"),
        ({**MORPH, "frames": 200_000_000, "size": 1}, (1, 1), "200000000 frames .* are 204800 million pixels"),
        ({**MORPH, "frames": 20_000, "size": 1}, (1, 1), "at most 10000 frames, not 20000"),
        ({**MANY, "size": 1}, (1000, 1000), "1000000 avatars .* are 1024 million pixels"),
        (MANY, (64, 64), "a grid of 1000 rows and 1000 columns of 32 pixels each would be 32000"),
        ({"names": ["a"], "columns": 10**12, "size": 4096}, (1, 1), "has 1x1 pixels, but its text says 4096x4096"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_does_not_fit_is_refused_before_it_is_drawn(
    tmp_path: Path,
    generator: AvatarGenerator,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    size: tuple[int, int],
    message: str,
) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text(TEXT_KEY, altered(generator, **changes))
    Image.new("RGB", size).save(tmp_path / "a.png", pnginfo=info)
    monkeypatch.setattr(Picture, "draw", None)
    with pytest.raises(InputError, match=message):
        reproduce(tmp_path / "a.png", generator)


@pytest.mark.parametrize("cut", [0, 1, 20, 60, 700, -30])
def test_a_damaged_file_is_refused(tmp_path: Path, generator: AvatarGenerator, cut: int) -> None:
    (tmp_path / "a.png").write_bytes(PICTURES[0].render(generator, ".png")[:cut])
    with pytest.raises(InputError, match=r"a\.png: (it|the file is empty)"):
        reproduce(tmp_path / "a.png", generator)


def test_a_picture_of_too_many_pixels_is_not_opened(tmp_path: Path, generator: AvatarGenerator) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    for side, message in ((9000, "9000x9000 pixels are too many"), (60_000, "damaged picture .*decompression bomb")):
        header = chunk(b"IHDR", side.to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0")
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
        with pytest.raises(InputError, match=message):
            reproduce(tmp_path / "a.png", generator)


def test_the_command_says_whether_it_is_identical(folder: Path, avatar_gen: AvatarGen) -> None:
    avatar_gen("--name", "alice", "--circle", "--size", "100", "--out", "a.png")
    done = avatar_gen("--reproduce", "a.png")
    assert (done.exit_code, done.output) == (0, "a.png is identical, drawn again from its text\n")
    with Image.open(folder / "a.png") as image:
        image.load()
        info = PngImagePlugin.PngInfo()
        info.add_text(TEXT_KEY, image.info[TEXT_KEY])
        Image.new("RGBA", image.size).save(folder / "a.png", pnginfo=info)
    done = avatar_gen("--reproduce", "a.png")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: a.png is not what its text says: pixels differ by up to ")
    done = avatar_gen("--reproduce", "a.png", "--json")
    assert json.loads(done.stdout)["identical"] is False
