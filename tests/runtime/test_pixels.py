"""Pixels: rounding, grids, encoded files, and writing whole or not at all."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatar_runtime import InputError, OutputError
from avatar_runtime.imaging.arrays import UInt8, from_network, grid, grid_shape
from avatar_runtime.imaging.encoding import encode
from avatar_runtime.output.atomic import replacing, write_file


def random_images(*shape: int) -> UInt8:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def reopened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("pixel_range", "values", "levels"),
    [
        ((0.0, 255.0), [0.5, 1.5, 2.5, 253.5, 254.5, 254.49], [0, 2, 2, 254, 254, 254]),
        ((0.0, 1.0), [0.0, 0.1, 0.5, 0.9, 1.0, 1 / 255], [0, 26, 128, 230, 255, 1]),
        ((-1.0, 1.0), [-1.0, -0.5, 0.0, 0.5, 1.0, -1 + 2 / 255], [0, 64, 128, 191, 255, 1]),
        ((0.0, 1.0), [-9, -0.001, 1.001, 9], [0, 0, 255, 255]),
        ((-1.0, 1.0), [-9, -1.001, 1.001, 9], [0, 0, 255, 255]),
    ],
)
def test_levels_round_half_to_even_and_are_clipped(
    pixel_range: tuple[float, float], values: list[float], levels: list[int]
) -> None:
    output = np.array(values, np.float32).reshape(1, 1, 1, -1)
    np.testing.assert_array_equal(from_network(output, pixel_range).ravel(), levels)


def test_every_level_survives_the_network_range() -> None:
    levels = np.arange(256, dtype=np.float32).reshape(1, 1, 16, 16)
    for low, high in ((0.0, 1.0), (-1.0, 1.0)):
        output = (levels / 255 * (high - low) + low).astype(np.float32)
        np.testing.assert_array_equal(from_network(output, (low, high)).ravel(), np.arange(256))


def test_channels_go_last() -> None:
    output = np.random.default_rng(0).uniform(0, 1, (2, 3, 4, 5)).astype(np.float32)
    images = from_network(output, (0.0, 1.0))
    assert images.shape == (2, 4, 5, 3)
    assert images.dtype == np.uint8
    assert images.flags.c_contiguous
    np.testing.assert_array_equal(images[1, :, :, 2], np.rint(output[1, 2] * 255))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [1, 3])
@pytest.mark.parametrize(
    ("count", "columns", "shape"),
    [
        (1, None, (1, 1)),
        (2, None, (1, 2)),
        (4, None, (2, 2)),
        (5, None, (2, 3)),
        (64, None, (8, 8)),
        (5, 2, (3, 2)),
        (5, 1, (5, 1)),
        (5, 5, (1, 5)),
        (5, 99, (1, 5)),
    ],
)
def test_a_grid_holds_its_images_row_by_row_and_white(
    count: int, columns: int | None, shape: tuple[int, int], scale: int, channels: int
) -> None:
    images = random_images(count, 4, 4, channels)
    rows, wide = shape
    assert grid_shape(count, columns, scale, 4) == shape
    sheet = grid(images, columns, scale)
    assert sheet.shape == (rows * 4 * scale, wide * 4 * scale, channels)
    for i in range(rows * wide):
        y, x = i // wide * 4 * scale, i % wide * 4 * scale
        cell = sheet[y : y + 4 * scale, x : x + 4 * scale]
        expected = images[i] if i < count else np.full((4, 4, channels), 255)
        np.testing.assert_array_equal(cell, np.kron(expected, np.ones((scale, scale, 1), np.uint8)))


@pytest.mark.parametrize(
    ("count", "columns", "scale", "message"),
    [
        (0, None, 1, "at least 1 image, column and scale"),
        (4, 0, 1, "at least 1 image, column and scale"),
        (4, 2, 0, "at least 1 image, column and scale"),
        (256**2 + 1, None, 1, "more than 16384"),
        (257, 1, 1, "more than 16384"),
        (1, None, 257, "more than 16384"),
    ],
)
def test_an_impossible_grid_is_refused(count: int, columns: int | None, scale: int, message: str) -> None:
    assert grid_shape(256**2, None, 1, 64) == (256, 256)
    with pytest.raises(InputError, match=message):
        grid_shape(count, columns, scale, 64)


@pytest.mark.parametrize("extension", [".png", ".PNG", ".webp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_files_give_the_pixels_back(extension: str, channels: int) -> None:
    image = random_images(7, 5, channels)
    picture = reopened(encode(image, extension))
    assert picture.format == extension[1:].upper()
    np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), np.broadcast_to(image, (7, 5, 3)))


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40_000, 1), (300, 200, 3), (70, 70, 4), (9, 16_384, 4)])
@pytest.mark.parametrize("kind", ["noise", "steps", "black"])
def test_a_png_of_any_size_gives_the_pixels_back(shape: tuple[int, int, int], kind: str) -> None:
    image = np.zeros(shape, np.uint8) if kind == "black" else random_images(*shape)
    if kind == "steps":
        image = image[::7, ::7].repeat(7, 0).repeat(7, 1)[: shape[0], : shape[1]]
    picture = reopened(encode(image, ".png"))
    np.testing.assert_array_equal(np.asarray(picture).reshape(shape), image)


@pytest.mark.parametrize("extension", [".jpg", ".jpeg", ".JPG"])
def test_jpeg_files_come_close(extension: str) -> None:
    image = np.repeat(np.arange(0, 256, 8, dtype=np.uint8), 32 * 3).reshape(32, 32, 3)
    picture = reopened(encode(image, extension))
    assert picture.format == "JPEG"
    assert np.abs(np.asarray(picture).astype(int) - image).max() <= 4


@pytest.mark.parametrize("broken", ["write_bytes", "replace"])
def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    (tmp_path / "a.png").write_bytes(b"old")

    def fail(path: Path, _: object) -> None:
        path.open("wb").close()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, broken, fail)
    with pytest.raises(OutputError, match=r"cannot write .*a\.png: No space left on device"):
        write_file(tmp_path / "a.png", b"new")
    assert files_in(tmp_path) == {"a.png": b"old"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_block_leaves_the_old_file_alone(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "a.png").write_bytes(b"old")

    def fail() -> None:
        with replacing(tmp_path / "a.png") as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert files_in(tmp_path) == {"a.png": b"old"}
