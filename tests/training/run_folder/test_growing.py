"""A grown pair: it begins with the faces of the smaller one, and trains like any other."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from mindspore import Tensor
from PIL import Image

from avatar_runtime.latents import latents, series
from avatar_training import device
from avatar_training.config import TrainConfig
from avatar_training.enlarging.bounding import bound_pair
from avatar_training.loop import train
from avatar_training.networks.discriminator import Discriminator
from avatar_training.networks.gan import Gan
from avatar_training.run_folder import checkpoint
from avatar_training.run_folder.growing import grow

from ..conftest import MakeConfig

Z = latents(list(series("grown", 16)), 100)


@pytest.fixture(scope="module")
def pair(tiny_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair wide enough to grow, after a few steps, so that its batch norms are not new."""
    folder = tmp_path_factory.mktemp("narrow") / "pair"
    train(tiny_config(ngf=16, ndf=24, steps=6, snapshot_every=6, ema_decay=0.0), folder)
    return folder


def images(arrays: checkpoint.Arrays, size: int, ngf: int) -> npt.NDArray[np.float32]:
    return checkpoint.generator_network(arrays, size, 3, 100, ngf)(Z)


@pytest.mark.parametrize("bounded", [False, True])
def test_a_grown_generator_draws_the_same_faces_enlarged(pair: Path, tmp_path: Path, bounded: bool) -> None:
    if bounded:
        bound_pair(pair, tmp_path / "bounded")
    before = checkpoint.read_pair(tmp_path / "bounded" if bounded else pair)
    small = np.arctanh(images(before, 32, 16).astype(np.float64))
    large = images(grow(before, 64, 0, pair), 64, 8)
    for one, channel in np.ndindex(small.shape[:2]):
        face = Image.fromarray(small[one, channel].astype(np.float32))
        enlarged = np.tanh(np.asarray(face.resize((64, 64), Image.Resampling.BILINEAR)))
        inside = np.s_[1:-1, 1:-1]  # outside the image there is mid-grey, as a transposed convolution has it
        np.testing.assert_allclose(large[one, channel][inside], enlarged[inside], atol=2e-5)


@pytest.mark.parametrize("mirror", [False, True])
def test_a_grown_discriminator_judges_as_before(pair: Path, mirror: bool) -> None:
    device.select("CPU")
    before = dict(checkpoint.read_pair(pair))
    if mirror:
        first = before["discriminator.0.weight"]
        before["discriminator.0.weight"] = np.concatenate([first, first[::-1]], axis=1)
    after = grow(before, 64, 0, pair)
    faces = images(before, 32, 16)
    large = faces.repeat(2, axis=2).repeat(2, axis=3)
    judged = []
    for arrays, size, ndf, seen in ((before, 32, 24, faces), (after, 64, 12, large)):
        discriminator = Discriminator(size, ndf=ndf, mirror=mirror)
        checkpoint.load_into(discriminator.get_parameters(), arrays, pair)
        judged.append(discriminator.set_train(False)(Tensor(seen)).asnumpy())
    np.testing.assert_allclose(judged[1], judged[0], atol=1e-4)


def test_a_pair_grows_twice(pair: Path) -> None:
    with pytest.raises(checkpoint.CheckpointError, match=r"ndf 12 is too narrow .*; ngf must be at least 12, ndf 12"):
        grow(checkpoint.read_pair(pair), 128, 0, pair)
    wide = Gan(TrainConfig("", steps=1, image_size=32, ngf=24, ndf=24, generator="refined"))
    arrays = {parameter.name: parameter.asnumpy() for parameter in wide.trained_parameters()}
    for name in [name for name in arrays if name.startswith("residual_blocks.") and name.endswith(".gamma")]:
        arrays[name] = np.full_like(arrays[name], 0.5)  # new blocks add nothing
    grown = grow(arrays, 128, 0, pair)
    large = Gan(TrainConfig("", steps=1, image_size=128, ngf=6, ndf=6, generator="refined"))
    checkpoint.load_into(large.trained_parameters(), grown, pair)
    assert len(grown) == len(large.trained_parameters())
    mean = images(grown, 128, 6).reshape(16, 3, 32, 4, 32, 4).mean(axis=(3, 5))
    inside = np.s_[..., 1:-1, 1:-1]
    likeness = np.corrcoef(mean[inside].ravel(), images(arrays, 32, 24)[inside].ravel())[0, 1]
    assert likeness > 0.8  # noise has more that a mean takes away than a face has


def test_a_run_may_begin_with_a_smaller_pair(pair: Path, tiny_config: MakeConfig, tmp_path: Path) -> None:
    larger = tiny_config(image_size=64, ngf=8, ndf=12, init_from=str(pair), steps=1, snapshot_every=1)
    train(larger, tmp_path / "run")
    first, second = (checkpoint.read(path) for path in checkpoint.snapshots(tmp_path / "run/snapshots")[::-1])
    for name, array in grow(checkpoint.read_pair(pair), 64, 0, pair).items():
        assert name in ("pixel_range", "steps") or (first[name] == array).all()
    assert (second["generator.12.weight"][6:] != 0).all()  # channels that nothing read at first begin to matter
    assert (second["discriminator.2.weight"][:, 6:] != 0).all()
