"""A bounded pair draws the faces of the pair before, and trains like any other."""

import shutil
from pathlib import Path

import mindspore
import numpy as np
import pytest
from mindspore import Tensor

from avatar_runtime.latents import latents, series
from avatar_training import device
from avatar_training.enlarging import bounding
from avatar_training.enlarging.bounding import bound_pair
from avatar_training.errors import TrainingError
from avatar_training.loop import train
from avatar_training.networks.bounded import BoundedReLU
from avatar_training.networks.generator import Generator
from avatar_training.run_folder import checkpoint
from avatar_training.steering.direction import affine_map
from avatar_training.steering.drawing import MAP_BIAS, MAP_WEIGHT, Drawing

from ..conftest import MakeConfig, avatar_train, refused

Z = latents(list(series("bounded", 64)), 100)

pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.fixture(scope="module")
def pair(tiny_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A steered, refined pair, whose blocks have learnt something."""
    folder = tmp_path_factory.mktemp("small") / "pair"
    train(tiny_config(steps=6, snapshot_every=6, generator="refined", ema_decay=0.0), folder)
    arrays = {name: Tensor(array) for name, array in checkpoint.read(folder / "generator.ckpt").items()}
    arrays["generator.9.weight"] = arrays["generator.9.weight"] * 100  # for contrast
    weight, bias = affine_map(np.eye(100, dtype=np.float32)[0], 1.0)
    checkpoint.save(folder / "generator.ckpt", {**arrays, MAP_WEIGHT: Tensor(weight), MAP_BIAS: Tensor(bias)})
    return folder


def test_a_relu_gives_no_more_than_the_bound() -> None:
    x = np.array([-1, 0, 0.5, 1, 7], np.float32)
    np.testing.assert_array_equal(BoundedReLU()(Tensor(x)).asnumpy(), [0, 0, 0.5, 1, 1])


def test_the_faces_stay_but_for_what_is_cut_off(pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Drawing(pair).draw(Z).astype(int)
    psnr, differences = [], []
    for beyond in (0.1, 0.01, 1e-9):
        monkeypatch.setattr(bounding, "BEYOND", beyond)
        psnr.append(bound_pair(pair, tmp_path / str(beyond)))
        differences.append(np.abs(Drawing(tmp_path / str(beyond)).draw(Z) - before).mean())
    assert differences == sorted(differences, reverse=True)
    assert psnr == sorted(psnr)
    assert differences[2] < 0.05 * before.std()
    assert differences[0] < 0.5 * before.std()


def test_the_asked_share_of_values_is_beyond_the_bound(pair: Path, tmp_path: Path) -> None:
    bound_pair(pair, tmp_path / "bounded")
    arrays = Drawing(tmp_path / "bounded").arrays
    config = Drawing(pair).config
    generator = Generator(config.image_size, config.channels, config.latent_dim, config.ngf, refined=True)
    checkpoint.load_into(generator.get_parameters(), arrays, pair)
    generator.set_train(False)
    w = Drawing(pair).mapped_series("others", 512)
    hidden = list(bounding._hidden(generator, Tensor(w[..., None, None])))
    assert len(hidden) == 6  # three layers, and a block after each
    for name, x in hidden:
        assert 0.0002 < (x.asnumpy() > 1).mean() < 0.005, name


def test_both_layouts_draw_the_same_and_a_bounded_pair_trains_on(
    pair: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    bound_pair(pair, tmp_path / "bounded")
    arrays = checkpoint.read_pair(tmp_path / "bounded")
    config = Drawing(tmp_path / "bounded").config
    assert config.bounded
    shape = (config.image_size, config.channels, config.latent_dim, config.ngf)
    device.select("CPU")
    drawn = []
    for channels_last in (False, True):
        generator = Generator(*shape, channels_last=channels_last, refined=True, bounded=True).set_train(False)
        checkpoint.load_into(generator.get_parameters(), arrays, pair)
        drawn.append(mindspore.jit(generator)(Tensor(Z[:4, :, None, None])).asnumpy())
    np.testing.assert_allclose(drawn[0], drawn[1], rtol=0, atol=1e-4)
    bounded = tiny_config(steps=2, snapshot_every=2, generator="refined", bounded=True)
    train(bounded.with_changes(init_from=str(tmp_path / "bounded")), tmp_path / "run")
    trained = checkpoint.read(tmp_path / "run" / "generator.ckpt")
    assert trained["activation_bound"] == 1  # exactly, in the average, too
    assert not np.array_equal(trained["generator.3.weight"], arrays["generator.3.weight"])


def test_a_run_and_the_pair_it_begins_with_are_both_bounded_or_neither(
    pair: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    bound_pair(pair, tmp_path / "bounded")
    for start, bounded, sentence in ((tmp_path / "bounded", False, "--bounded"), (pair, True, "avatar-train bound")):
        config = tiny_config(steps=1, generator="refined", bounded=bounded, init_from=str(start))
        with pytest.raises(TrainingError, match=f"bounded: .*{sentence}"):
            train(config, tmp_path / f"run-{bounded}")


def test_what_cannot_be_bounded_is_refused(pair: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    refused(avatar_train("bound", "--checkpoint", pair, "--out", tmp_path / "there"), "exists already")
    refused(avatar_train("bound", "--checkpoint", tmp_path / "none", "--out", tmp_path / "new"), "config.json")
    bound_pair(pair, tmp_path / "bounded")
    refused(avatar_train("bound", "--checkpoint", tmp_path / "bounded", "--out", tmp_path / "new"), "bounded already")
    broken = shutil.copytree(pair, tmp_path / "broken")
    (broken / "discriminator.ckpt").write_bytes(b"damaged")
    refused(avatar_train("bound", "--checkpoint", broken, "--out", tmp_path / "new"), "discriminator.ckpt")
    assert not (tmp_path / "new").exists()
