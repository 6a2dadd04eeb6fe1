"""The model inside the package."""

import numpy as np
import pytest

from avatar_runtime import AvatarGenerator


@pytest.fixture(scope="module")
def generator() -> AvatarGenerator:
    return AvatarGenerator.load()


def test_the_embedded_model_draws_64_different_faces(generator: AvatarGenerator) -> None:
    faces = generator.generate(64)
    size = generator.spec.image_size
    assert faces.shape == (64, size, size, 3)
    assert faces.dtype == np.uint8
    assert len(np.unique(faces, axis=0)) == 64
    assert faces.std(axis=(1, 2)).mean() > 20  # pictures with contrast


def test_the_embedded_model_draws_smooth_pictures_not_noise(generator: AvatarGenerator) -> None:
    faces = generator.generate(64).astype(float)
    beside = np.abs(np.diff(faces, axis=2)).mean()
    apart = np.abs(faces[:, :, 16:] - faces[:, :, :-16]).mean()
    assert beside < apart / 2


def test_the_embedded_model_says_where_it_comes_from(generator: AvatarGenerator) -> None:
    spec = generator.spec
    assert spec.output == "uint8"
    assert spec.precision == "int8"
    assert spec.license
    assert spec.provenance
    assert len(spec.checkpoint_sha256) == 64
    assert spec.parity
