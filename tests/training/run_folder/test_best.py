"""best.ckpt: the generator at its lowest KID, and never a worse one."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar_runtime.latents import latents
from avatar_training.config import TrainConfig
from avatar_training.loop import train
from avatar_training.metrics.features import FeatureNetwork, FeaturesError
from avatar_training.metrics.kid import kid
from avatar_training.run_folder import best, checkpoint

from ..conftest import MakeConfig, stats
from ..feature_network import write_feature_network


@pytest.fixture
def judged(tiny_config: MakeConfig, tmp_path: Path) -> TrainConfig:
    """A config whose KID is taken at steps 4, 8, 12 and the last."""
    return tiny_config(kid_network=str(write_feature_network(tmp_path / "f.onnx", scale=1 / 64)), kid_every=4)


def kids(out: Path) -> dict[int, float]:
    return {row["step"]: row["kid"] for row in stats(out, "kid")}


@pytest.fixture
def measured_images(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every array of images that a feature network is given from now on."""
    seen: list[Any] = []
    original = FeatureNetwork.__call__

    def watching(network: FeatureNetwork, images: Any) -> Any:
        seen.append(images)
        return original(network, images)

    monkeypatch.setattr(FeatureNetwork, "__call__", watching)
    return seen


def test_a_run_is_measured_against_its_images_with_the_faces_of_a_series(
    judged: TrainConfig, tmp_path: Path, measured_images: list[Any]
) -> None:
    out = tmp_path / "run"
    train(dataclasses.replace(judged, steps=6), out)
    # The trial of the network, the training images once, and the generated ones at steps 4 and 6.
    assert [len(images) for images in measured_images[:2]] == [1, 22]
    generated = np.concatenate(measured_images[2:])
    assert len(generated) == 2 * best.COUNT
    assert list(kids(out)) == [4, 6]
    network = checkpoint.generator_network(checkpoint.read(out / "generator.ckpt"), 32, 3, 100, 8)
    face = (network(latents(["kid/70"], 100))[0].transpose(1, 2, 0) + 1) * 127.5
    assert np.abs(generated[best.COUNT + 70] - face).max() < 1

    kept, lowest = checkpoint.read(out / "best.ckpt"), min(kids(out).values())
    assert kept["kid"] == pytest.approx(lowest, abs=1e-6)
    assert kids(out)[int(kept["steps"])] == lowest

    real, generated = measured_images[1], generated[best.COUNT :]
    features = FeatureNetwork(Path(str(judged.kid_network)))
    expected, _ = kid(features(real), features(generated))
    assert kids(out)[6] == pytest.approx(expected, abs=1e-6)

    del measured_images[:]
    train(dataclasses.replace(judged, steps=7), out, resume=True)
    assert [len(measured_images[0]), len(np.concatenate(measured_images[1:]))] == [1, best.COUNT]


def test_an_older_best_outlives_resumes_and_what_cannot_be_compared_is_set_aside(
    judged: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, said = tmp_path / "run", list[str]()
    values = iter([3.0, 2.0, 5.0, 4.0, 6.0, 9.0, 8.0])
    monkeypatch.setattr(best, "kid", lambda real, generated: (next(values), 0.0))

    def go_on(**changes: Any) -> int:
        train(dataclasses.replace(judged, **changes), out, resume=out.exists(), on_message=said.append)
        return int(checkpoint.read(out / "best.ckpt")["steps"])

    assert go_on(steps=8) == 8  # 3 at step 4, 2 at step 8
    at_8 = checkpoint.read(out / "generator.ckpt")
    assert go_on(steps=9) == 8  # 5
    kept = checkpoint.read(out / "best.ckpt")
    assert all((kept[name] == value).all() for name, value in at_8.items())

    (out / "best.ckpt").write_bytes(b"damaged")
    (out / "real-features.npz").write_bytes(b"PK damaged")
    assert go_on(steps=10) == 9  # 4 at once, for there is no best any more; 6
    assert (out / "best.1.ckpt").read_bytes() == b"damaged"
    assert any("best.ckpt cannot be read; it is now" in line for line in said)

    other = write_feature_network(tmp_path / "other.onnx", scale=1 / 32)
    assert go_on(steps=11, kid_network=str(other)) == 11  # 9 and 8, by another measure
    assert checkpoint.read(out / "best.2.ckpt")["kid"] == 4.0
    assert any("was chosen by another feature network" in line for line in said)


def test_a_wrong_network_is_refused_before_anything_is_written(judged: TrainConfig, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(FeaturesError, match=r"text\.onnx is not an ONNX model"):
        train(dataclasses.replace(judged, kid_network=str(tmp_path / "text.onnx")), tmp_path / "run")
    assert not (tmp_path / "run").exists()
