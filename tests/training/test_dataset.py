import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from avatar_training.config import TrainConfig
from avatar_training.data.dataset import DataError, batches, decode, load, steps_per_epoch

from .conftest import MakeConfig, png


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_a_folder_flat_or_nested_and_a_zip_give_the_same_images(tmp_path: Path) -> None:
    members = {f"deep/er/{i}.png": png(i) for i in range(5)}
    for name, data in members.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(data)
    from_zip = load(zipped(tmp_path / "faces.zip", members), 32)
    from_folder = load(tmp_path / "folder", 32)
    assert (from_zip.images == from_folder.images).all()
    assert from_zip.sha256 == from_folder.sha256
    assert from_zip.images.shape == (5, 32, 32, 3)


def test_the_shorter_side_is_scaled_and_the_centre_kept() -> None:
    stripes = np.zeros((64, 192, 3), np.uint8)
    stripes[:, :64, 0], stripes[:, 64:128, 1], stripes[:, 128:, 2] = 255, 255, 255
    pixels = decode(encoded(Image.fromarray(stripes), "PNG"), 32, 3)
    assert (pixels == [0, 255, 0]).all(axis=-1)[:, 1:-1].all()


GREEN = (0, 200, 0)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encoded(Image.new("L", (40, 40), 77), "PNG"), (77, 77, 77)),
        (encoded(Image.new("RGB", (40, 40), GREEN).quantize(4), "PNG"), GREEN),
        (encoded(Image.new("RGBA", (40, 40), (*GREEN, 0)), "PNG"), (255, 255, 255)),
        (encoded(Image.new("RGBA", (40, 40), (*GREEN, 255)), "WEBP", lossless=True), GREEN),
        (encoded(Image.new("CMYK", (40, 40), (255, 0, 255, 0)), "JPEG", quality=100), (0, 255, 0)),
        (encoded(Image.new("I;16", (40, 40), 65535), "PNG"), (255, 255, 255)),
        (encoded(Image.new("1", (40, 40), 1), "BMP"), (255, 255, 255)),
        (
            encoded(
                Image.new("RGB", (40, 40), GREEN),
                "GIF",
                save_all=True,
                append_images=[Image.new("RGB", (40, 40), "red")],
            ),
            GREEN,
        ),
    ],
    ids=["grey", "palette", "transparent", "rgba", "cmyk", "16-bit", "bilevel", "animated"],
)
def test_unusual_images_are_converted(data: bytes, expected: tuple[int, int, int]) -> None:
    pixels = decode(data, 32, 3).astype(int)
    assert np.abs(pixels - expected).max() <= 3


def test_rotation_in_exif_is_applied() -> None:
    image = Image.new("RGB", (40, 40), "black")
    image.paste("white", (0, 0, 40, 20))  # white on top
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    pixels = decode(encoded(image, "JPEG", exif=exif, quality=100), 32, 3)
    assert pixels[:12].max() < 20
    assert pixels[-12:].min() > 235


def test_grey_training_gets_one_channel() -> None:
    assert decode(png(0), 32, 1).shape == (32, 32, 1)


def bomb() -> bytes:
    return encoded(Image.new("1", (12_000, 12_000)), "PNG")


def test_what_cannot_be_used_is_skipped_counted_and_named(tmp_path: Path) -> None:
    good = png(0)
    flipped = bytearray(png(1))
    flipped[60:80] = b"\0" * 20
    files = {
        "a/good.png": good,
        "empty.png": b"",
        "huge.png": bomb(),
        "note.txt": b"not a picture",
        "vector.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "cut.png": good[: len(good) // 2],
        "flipped.png": bytes(flipped),
    }
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    faces = load(tmp_path, 32)
    assert len(faces.images) == 1
    assert (faces.images[0] == decode(good, 32, 3)).all()
    assert faces.skipped == {
        "damaged image": ["cut.png", "flipped.png"],
        "empty file": ["empty.png"],
        "more than 89,478,485 pixels": ["huge.png"],
        "not an image": ["note.txt", "vector.eps"],
    }
    assert "skipped 2: damaged image (cut.png, flipped.png)" in faces.summary()


def test_names_that_leave_a_zip_and_damaged_members_are_skipped(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "f.zip", {"good.png": png(0), "../up.png": png(1), "/root.png": png(2), "x\\..\\y.png": png(3)}
    )
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr("torn.png", png(4))
    data = bytearray(path.read_bytes())
    start = data.index(b"torn.png") + 100
    data[start : start + 50] = b"\0" * 50
    path.write_bytes(data)
    faces = load(path, 32)
    assert len(faces.images) == 1
    assert faces.skipped["its name points out of the zip"] == ["../up.png", "/root.png", "x\\..\\y.png"]
    assert faces.skipped["damaged or encrypted in the zip"] == ["torn.png"]
    assert [p.name for p in tmp_path.iterdir()] == ["f.zip"]


def test_nothing_usable_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("a")
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4 and then nothing")
    cut = zipped(tmp_path / "cut.zip", {"a.png": png(0)})
    cut.write_bytes(cut.read_bytes()[:-30])
    strange = zipped(tmp_path / "strange.zip", {"a.png": png(0)})
    data = bytearray(strange.read_bytes())
    data[data.index(b"PK\1\2") + 6] = 196  # the version of zip that it asks for
    strange.write_bytes(data)
    for name, message in [
        ("strange.zip", "nor a sound zip .*version 19.6"),
        ("empty", "holds no files"),
        ("text", "no usable image"),
        ("broken.zip", "neither a folder nor a sound zip"),
        ("cut.zip", "neither a folder nor a sound zip"),
        ("missing.zip", "does not exist"),
    ]:
        with pytest.raises(DataError, match=message):
            load(tmp_path / name, 32)


def test_fewer_images_than_a_batch_is_an_error() -> None:
    assert steps_per_epoch(22, 4) == 5
    with pytest.raises(DataError, match="3 usable images are fewer than a batch of 4"):
        steps_per_epoch(3, 4)


@pytest.fixture
def all_batches(pictures: Path, tiny_config: MakeConfig) -> tuple[TrainConfig, list[Any], Any]:
    config = tiny_config()
    faces = load(pictures, config.image_size)
    return config, list(batches(faces, config, 0, 10)), faces


def test_an_epoch_visits_each_image_at_most_once_some_mirrored(all_batches: Any) -> None:
    _, drawn, faces = all_batches
    known = {image.tobytes(): i for i, image in enumerate(faces.images)}
    mirrored = {np.ascontiguousarray(image[:, ::-1]).tobytes(): i for i, image in enumerate(faces.images)}
    for epoch in (drawn[:5], drawn[5:]):
        levels = np.rint((np.concatenate(epoch) + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1)
        seen = [(known | mirrored)[np.ascontiguousarray(image).tobytes()] for image in levels]
        assert len(set(seen)) == 20
        flips = sum(np.ascontiguousarray(image).tobytes() in mirrored for image in levels)
        assert 0 < flips < 20


def test_batches_are_float_images_in_the_range_of_tanh(all_batches: Any) -> None:
    config, drawn, _ = all_batches
    assert drawn[0].shape == (config.batch_size, 3, 32, 32)
    assert drawn[0].dtype == np.float32
    assert (drawn[0].min(), drawn[0].max()) == (-1, 1)


def test_the_batches_of_later_steps_need_no_earlier_ones(all_batches: Any) -> None:
    config, drawn, faces = all_batches
    for start in (3, 5, 7):
        again = list(batches(faces, config, start, 10))
        assert all((a == b).all() for a, b in zip(again, drawn[start:], strict=True))
    assert list(batches(faces, config, 10, 10)) == []
