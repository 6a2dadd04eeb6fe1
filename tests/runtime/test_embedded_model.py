"""The model inside the package."""

import numpy as np

from avatar_runtime import AvatarGenerator


def test_the_embedded_model_draws_64_different_smooth_faces_and_says_where_it_comes_from() -> None:
    with AvatarGenerator.load() as generator:
        faces, spec = generator.generate(64), generator.spec
    assert faces.shape == (64, spec.image_size, spec.image_size, 3)
    assert len(np.unique(faces, axis=0)) == 64
    assert faces.std(axis=(1, 2)).mean() > 20  # pictures with contrast
    beside = np.abs(np.diff(faces.astype(float), axis=2)).mean()
    quarter = spec.image_size // 4
    assert beside < np.abs(faces[:, :, quarter:].astype(float) - faces[:, :, :-quarter]).mean() / 2  # and not noise
    assert (spec.output, spec.precision, len(spec.checkpoint_sha256)) == ("uint8", "int8", 64)
    assert spec.license
    assert spec.provenance
    assert spec.parity
