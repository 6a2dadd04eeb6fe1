import io
import json
import os
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from avatar_training.config import TrainConfig
from avatar_training.data.dataset import batches, load
from avatar_training.data.decoding import UnusableImageError, decode
from avatar_training.data.source import DataError, open_source
from avatar_training.loop import train

from ..conftest import MakeConfig, lying, png, zipped


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_a_folder_flat_or_nested_and_a_zip_give_the_same_images(tmp_path: Path) -> None:
    members = {f"deep/er/{i}.png": png(i) for i in range(5)}
    for name, data in members.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(data)
    (tmp_path / "faces.zip").write_bytes(zipped(members))
    from_zip = load(tmp_path / "faces.zip", 32)
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
RED = Image.new("RGB", (40, 40), "red")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encoded(Image.new("L", (40, 40), 77), "PNG"), (77, 77, 77)),
        (encoded(Image.new("RGB", (40, 40), GREEN).quantize(4), "PNG"), GREEN),
        (encoded(Image.new("RGBA", (40, 40), (*GREEN, 0)), "PNG"), (255, 255, 255)),
        (encoded(Image.new("RGBA", (40, 40), (*GREEN, 255)), "WEBP", lossless=True), GREEN),
        (encoded(Image.new("CMYK", (40, 40), (255, 0, 255, 0)), "JPEG", quality=100), (0, 255, 0)),
        (encoded(Image.new("I;16", (40, 40), 65535), "PNG"), (255, 255, 255)),
        (encoded(Image.new("I;16", (40, 40), 300), "PNG", transparency=300), (255, 255, 255)),
        (encoded(Image.new("RGB", (40, 40), GREEN), "ICO"), GREEN),
        (encoded(Image.new("1", (40, 40), 1), "BMP"), (255, 255, 255)),
        (encoded(Image.new("RGB", (40, 40), GREEN), "GIF", save_all=True, append_images=[RED]), GREEN),
    ],
    ids=["grey", "palette", "transparent", "rgba", "cmyk", "16-bit", "16-bit hole", "icon", "bilevel", "animated"],
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


def test_what_cannot_be_used_is_skipped_counted_and_named(tmp_path: Path) -> None:
    good = png(0)
    flipped = bytearray(png(1))
    flipped[60:80] = b"\0" * 20
    files = {
        "a/good.png": good,
        "empty.png": b"",
        "huge.png": encoded(Image.new("1", (12_000, 12_000)), "PNG"),
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
        "not an image": ["note.txt"],
        "PostScript; convert it to PNG": ["vector.eps"],
    }
    assert "skipped 2: damaged image (cut.png, flipped.png)" in faces.summary()


def test_names_that_leave_a_zip_and_damaged_members_are_skipped(tmp_path: Path) -> None:
    path, names = tmp_path / "f.zip", ["good.png", "../up.png", "/root.png", "x\\..\\y.png", "torn.png"]
    data = bytearray(zipped({name: png(i) for i, name in enumerate(names)}, zipfile.ZIP_STORED))
    start = data.index(b"torn.png") + 100
    data[start : start + 50] = b"\0" * 50
    path.write_bytes(data)
    faces = load(path, 32)
    assert len(faces.images) == 1
    assert faces.skipped["its name points out of the zip"] == names[1:4]
    assert faces.skipped["damaged in the zip"] == ["torn.png"]
    assert [p.name for p in tmp_path.iterdir()] == ["f.zip"]


def test_nothing_usable_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("a")
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4 and then nothing")
    sound = zipped({"a.png": png(0)})
    (tmp_path / "cut.zip").write_bytes(sound[:-30])
    (tmp_path / "strange.zip").write_bytes(lying(sound, 4, b"\xc4"))  # the version of zip that it asks for
    for name, message in [
        ("strange.zip", "nor an undamaged zip .*version 19.6"),
        ("empty", "holds no files"),
        ("text", "no usable image"),
        ("broken.zip", "neither a folder nor an undamaged zip"),
        ("cut.zip", "neither a folder nor an undamaged zip"),
        ("missing.zip", "does not exist"),
    ]:
        with pytest.raises(DataError, match=message):
            load(tmp_path / name, 32)


FLOAT = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)


def test_a_float_picture_has_the_brightness_of_its_8_bit_twin() -> None:
    twin = decode(encoded(Image.fromarray(np.rint(FLOAT * 255).astype(np.uint8)), "PNG"), 32, 3).astype(int)
    for values in (FLOAT, FLOAT * 255):
        assert np.abs(decode(encoded(Image.fromarray(values), "TIFF"), 32, 3) - twin).max() <= 1


@pytest.mark.parametrize("brightest", [25, 130, 255])
def test_a_16_bit_picture_has_the_brightness_of_its_8_bit_twin(brightest: int) -> None:
    levels = np.rint(FLOAT * brightest).astype(np.uint8)
    twin = decode(encoded(Image.fromarray(levels), "PNG"), 32, 3).astype(int)
    wide = Image.fromarray(levels.astype(np.uint16) * 257)
    for kind in ("PNG", "TIFF"):
        assert np.abs(decode(encoded(wide, kind), 32, 3) - twin).max() <= 1


def with_chunk(png: bytes, kind: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    chunk = len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
    return png[:33] + chunk + png[33:]


def profile(gamma: float) -> bytes:
    """An ICC profile of sRGB's colours with another gamma, by two numbers of the one that LittleCMS makes."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    at = data.index(b"para" + bytes(4))
    data[at + 8 : at + 16] = bytes(4) + round(gamma * 2**16).to_bytes(4, "big")  # type 0: y = x ** gamma
    return bytes(data)


RAMP = np.repeat(np.arange(0, 256, 4, dtype=np.uint8), 64).reshape(64, 64)
DARK = Image.fromarray(np.rint(255 * (RAMP / 255) ** 2.2).astype(np.uint8))  # the ramp in linear light
LINEAR = with_chunk(encoded(DARK, "PNG"), b"gAMA", (100_000).to_bytes(4, "big"))


@pytest.mark.parametrize(
    "data",
    [
        *(encoded(DARK.convert(mode), "PNG", icc_profile=profile(1)) for mode in ("RGB", "RGBA", "L", "LA")),
        encoded(DARK.convert("RGB"), "WEBP", lossless=True, icc_profile=profile(1)),
        LINEAR,
        with_chunk(encoded(Image.fromarray(RAMP), "PNG"), b"gAMA", (45_455).to_bytes(4, "big")),
        with_chunk(with_chunk(encoded(Image.fromarray(RAMP), "PNG"), b"gAMA", bytes(4)), b"sRGB", bytes(1)),
        encoded(Image.fromarray(RAMP).convert("RGB"), "JPEG", quality=100, icc_profile=profile(2.2)),
    ],
    ids=["RGB", "RGBA", "L", "LA", "WebP", "gAMA", "gAMA of sRGB", "sRGB first", "JPEG"],
)
def test_colours_are_converted_to_srgb(data: bytes) -> None:
    """From a profile or a gamma of their own: seen in a browser, these are one picture."""
    twin = decode(encoded(Image.fromarray(RAMP), "PNG"), 32, 3).astype(int)
    difference = np.abs(decode(data, 32, 3) - twin)
    assert difference[8:].max() <= 4  # sRGB is no power: it is lighter where it is dark
    assert difference.max() <= 16


def test_a_profile_of_srgb_changes_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with Image.open(io.BytesIO(png(0))) as noise:
        tagged = encoded(noise, "PNG", icc_profile=srgb)
    assert (decode(tagged, 32, 3) == decode(png(0), 32, 3)).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encoded(Image.fromarray(FLOAT * np.float32(np.nan)), "TIFF"), "not finite"),
        (encoded(Image.fromarray(FLOAT - 2), "TIFF"), "floating-point pixels from -2 to -1"),
        (encoded(Image.fromarray(FLOAT * 1000), "TIFF"), "floating-point pixels from 0 to 1000"),
        (encoded(Image.fromarray(FLOAT * np.float32(1.02)), "TIFF"), "floating-point pixels from 0 to 1.02"),
        (encoded(Image.fromarray(FLOAT), "TIFF", tiffinfo={262: 0}), "whose 0 is white"),
        (encoded(Image.new("L", (40, 40), 9), "TIFF", tiffinfo={339: 2}), "signed pixels"),
        (encoded(Image.fromarray(np.full((40, 40), 10**6, np.int32)), "TIFF"), "integer pixels whose range"),
        (encoded(Image.fromarray(np.full((40, 40), 200, np.int32)), "TIFF"), "integer pixels whose range"),
        (encoded(Image.fromarray(np.full((40, 40), 200, np.uint16)), "TIFF", tiffinfo={262: 0}), "whose range"),
        (b'<?xml version="1.0"?><svg/>', "SVG"),
        (b"\0\0\0\x18ftypisom" + bytes(50), "a video"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"\n<!doctype HTML><html>", "a web page"),
        (b"\0\0\0\x18ftypcrx " + bytes(50), "a camera's raw file"),
        (b"RIFF\0\0\0\0AVI " + bytes(50), "a video"),
        (b"\0\0\0\x20ftypheic" + bytes(50), "HEIC"),
        (b"II*\0" + bytes(50), "TIFF of a kind"),
        (encoded(Image.new("RGB", (9, 9)), "PNG", icc_profile=b"none"), "profile that cannot be used"),
        (encoded(Image.new("CMYK", (9, 9)), "JPEG", icc_profile=profile(1)), "profile that is for other pixels"),
        (with_chunk(png(0), b"gAMA", bytes(4)), "a gamma of 0, which no picture has"),
        (zipped({"a.png": b"x"}), "a zip archive; unpack it"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(50), "a 7z archive"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_the_reason_given_is_the_real_one(data: bytes, reason: str) -> None:
    with pytest.raises(UnusableImageError, match=reason):
        decode(data, 32, 3)


def test_an_avif_is_read_or_the_missing_decoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    avif = b"\0\0\0\x1cftypavif" + bytes(50)
    monkeypatch.setattr(Image, "OPEN", {name: kind for name, kind in Image.OPEN.items() if name != "AVIF"})
    with pytest.raises(UnusableImageError, match="AVIF image that this Pillow cannot decode"):
        decode(avif, 32, 3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "AVIF"])
def test_a_single_image_is_called_that(tmp_path: Path, kind: str) -> None:
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow does not write {kind}")
    for name in ("face", "face.zip", "face.h5"):
        (tmp_path / name).write_bytes(encoded(Image.new("RGB", (40, 40), GREEN), kind))
        with pytest.raises(DataError, match=f"{name} is a single image; name the folder"):
            load(tmp_path / name, 32)


def test_archives_that_are_no_zip_are_named(tmp_path: Path) -> None:
    for name, mode, kind in [("a.tar", "w", "tar"), ("a.tar.gz", "w:gz", "gzip"), ("a.tar.xz", "w:xz", "xz")]:
        with tarfile.open(tmp_path / name, mode) as archive:  # type: ignore[call-overload]
            archive.addfile(tarfile.TarInfo("a.png"))
        with pytest.raises(DataError, match=rf"{name} is an? {kind} archive; unpack it, then name the folder"):
            load(tmp_path / name, 32)


def test_a_zip_by_deflate64_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(lying(zipped({"a.png": png(0)}, zipfile.ZIP_STORED), 8, b"\t"))
    with pytest.raises(DataError, match="compressed with Deflate64, which Python cannot read; unpack the zip"):
        load(tmp_path / "a.zip", 32)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_files_of_one_name_in_a_zip_the_last_counts_and_the_first_is_listed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(3):
            archive.writestr("a.png", png(i))
    faces = load(tmp_path / "a.zip", 32)
    assert (faces.images == decode(png(2), 32, 3)).all()
    assert faces.skipped == {"the zip has a later file of the same name": ["a.png (copy 1)", "a.png (copy 2)"]}


def test_linked_folders_are_read_once_and_dead_links_are_listed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/b.png").write_bytes(png(1))
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.png").write_bytes(png(0))
    (data / "linked").symlink_to(tmp_path / "elsewhere")
    (data / "loop").symlink_to(data)
    (data / "dead.png").symlink_to(tmp_path / "nothing")
    os.mkfifo(data / "pipe")
    faces = load(data, 32)
    assert len(faces.images) == 2
    assert faces.skipped == {
        "a link to a folder that is already read": ["loop"],
        "a link to nothing": ["dead.png"],
        "not a regular file": ["pipe"],
    }


def test_files_that_change_while_they_are_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(0))
    for name in ("gone.png", "link.png", "pipe.png"):
        (tmp_path / name).write_bytes(png(0))
    source = open_source(tmp_path)
    for name in ("gone.png", "link.png", "pipe.png"):
        (tmp_path / name).unlink()
    (tmp_path / "link.png").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe.png")  # nobody writes to it
    assert source.read("a.png") == png(0)
    for name, reason in (
        ("gone.png", "No such file"),
        ("link.png", "a link to nothing"),
        ("pipe.png", "not a regular file"),
    ):
        with pytest.raises(UnusableImageError, match=reason):
            source.read(name)


def test_what_was_skipped_is_in_the_report_of_the_run(pictures: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(pictures, data)
    (data / "note.txt").write_text("not a picture")
    train(TrainConfig(str(data), batch_size=4, image_size=32, ngf=8, ndf=8, steps=1), tmp_path / "run")
    assert json.loads((tmp_path / "run/config.json").read_text())["dataset"]["skipped"] == {"not an image": 1}
    assert "<th scope=row>skipped: not an image</th><td>1</td>" in (tmp_path / "run/report.html").read_text()


def test_an_epoch_visits_each_image_at_most_once_some_mirrored(pictures: Path, tiny_config: MakeConfig) -> None:
    faces = load(pictures, 32)
    drawn = list(batches(faces, tiny_config(), 0, 10))
    known = {image.tobytes(): i for i, image in enumerate(faces.images)}
    mirrored = {np.ascontiguousarray(image[:, ::-1]).tobytes(): i for i, image in enumerate(faces.images)}
    for epoch in (drawn[:5], drawn[5:]):
        levels = np.rint((np.concatenate(epoch) + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1)
        seen = [(known | mirrored)[np.ascontiguousarray(image).tobytes()] for image in levels]
        assert len(set(seen)) == 20
        flips = sum(np.ascontiguousarray(image).tobytes() in mirrored for image in levels)
        assert 0 < flips < 20
