"""The engine draws what onnxruntime draws, to the last bit."""

import ctypes
import json
from pathlib import Path

import numpy as np
import pytest

from avatar_runtime import AvatarGenerator
from avatar_runtime.generator import embedded_model
from avatar_runtime.latents import latents, series
from native.conftest import SHAPES, hurried_calibration
from native.engine import Model
from tiny_model import tiny_weights, write_tiny_model


def assert_equal(engine: ctypes.CDLL, path: Path, count: int, truncation: float = 1.0) -> None:
    model = Model(engine, path.read_bytes())
    names = list(series("engine", count))
    z = latents(names, model.latent_dim) * np.float32(truncation)
    with AvatarGenerator.load(path) as generator:
        for start in range(0, count, 250):
            expected = generator.generate(names[start : start + 250], truncation=truncation)
            np.testing.assert_array_equal(model.draw(z[start : start + 250]), expected)


def test_faces_of_the_embedded_model(engine: ctypes.CDLL, request: pytest.FixtureRequest) -> None:
    assert_equal(engine, embedded_model(), 25 if "plain" in request.node.name else 300)


def test_far_from_the_average(engine: ctypes.CDLL) -> None:
    assert_equal(engine, embedded_model(), 10, truncation=2.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_other_shapes(engine: ctypes.CDLL, int8_models: dict[str, Path], shape: str) -> None:
    assert_equal(engine, int8_models[shape], 100)


@pytest.mark.native
def test_five_thousand_faces(engine: ctypes.CDLL, request: pytest.FixtureRequest) -> None:
    assert_equal(engine, embedded_model(), 500 if "plain" in request.node.name else 5000)


@pytest.mark.native
def test_a_wide_network_of_128_pixels(one_engine: ctypes.CDLL, tmp_path: Path) -> None:
    """512 channels at the bottom, 32 at the top."""
    with hurried_calibration():
        write_tiny_model(tmp_path / "128.onnx", tiny_weights(image_size=128, ngf=32), precision="int8")
    assert_equal(one_engine, tmp_path / "128.onnx", 10)


def test_it_knows_its_model(one_engine: ctypes.CDLL) -> None:
    model = Model(one_engine, embedded_model().read_bytes())
    with AvatarGenerator.load() as generator:
        spec = generator.spec
    metadata = json.loads(model.metadata())
    assert (metadata["name"], metadata["latent_scheme"]) == (spec.name, spec.latent_scheme)
    assert metadata["golden"]["sha256"] == list(spec.golden.sha256 if spec.golden else ())
    assert (model.latent_dim, model.shape) == (spec.latent_dim, (spec.image_size, spec.image_size, spec.channels))


def test_two_models_draw_by_turns(one_engine: ctypes.CDLL, int8_models: dict[str, Path]) -> None:
    first, second = (Model(one_engine, int8_models[name].read_bytes()) for name in ("32-grey", "32-steered"))
    z, other = (latents(["alice", "bob"], model.latent_dim) for model in (first, second))
    expected = first.draw(z)
    second.draw(other)
    np.testing.assert_array_equal(first.draw(z[1:]), expected[1:])


def test_no_latent_does_harm(engine: ctypes.CDLL, int8_models: dict[str, Path]) -> None:
    for path in (embedded_model(), int8_models["32-grey"]):
        model = Model(engine, path.read_bytes())
        sound = latents(["alice"], model.latent_dim)
        expected = model.draw(sound)
        for number in (np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-40):
            z = sound.copy()
            z[0, 0] = number
            model.draw(z)
        np.testing.assert_array_equal(model.draw(sound), expected)
