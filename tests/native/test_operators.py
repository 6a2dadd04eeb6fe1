"""Layers that the exporter does not write yet: still what onnxruntime computes."""

import ctypes

import numpy as np
import pytest

from avatar_runtime.latents import latents, series
from avatar_runtime.session import open_session, run
from native.engine import Model
from native.graphs import GRAPHS, LATENT_DIM

COUNT = 300


@pytest.mark.parametrize("name", GRAPHS)
def test_it_computes_what_onnxruntime_does(engine: ctypes.CDLL, name: str) -> None:
    file = GRAPHS[name]().SerializeToString()
    z = latents(list(series(name, COUNT)), LATENT_DIM)
    images = Model(engine, file).draw(z)
    assert len(np.unique(images)) > 20  # neither black nor white
    np.testing.assert_array_equal(images, run(open_session(file), z))
