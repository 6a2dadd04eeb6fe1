"""The engine's paths, and int8 models of other shapes than the embedded one's."""

import ctypes
import dataclasses
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from avatar_export.int8 import calibration
from native.engine import compile_engine
from tiny_model import tiny_weights, write_tiny_model

PATHS = {"plain": ["-DAVATAR_PLAIN"], "fastest": []}
if platform.machine() in ("x86_64", "AMD64"):
    PATHS["sse2"] = ["-DAVATAR_NO_AVX2"]
"""Flags for each path of the inner loop that this processor has."""

SHAPES: dict[str, dict[str, Any]] = {
    "32-grey": {"channels": 1, "ngf": 3, "latent_dim": 7},
    "32-steered": {"ngf": 5, "latent_dim": 16, "latent_map": True},
    "64-narrow": {"image_size": 64, "ngf": 1, "latent_dim": 1},
    "128": {"image_size": 128, "ngf": 2, "latent_dim": 20},
    "32-zero-to-one": {"ngf": 4, "latent_dim": 5},
}
"""Arguments of tiny_weights."""


@pytest.fixture(scope="session", params=PATHS)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return compile_engine(tmp_path_factory.mktemp("engine"), PATHS[request.param])


@pytest.fixture(scope="session")
def one_engine(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The fastest path, for what does not depend on it."""
    return compile_engine(tmp_path_factory.mktemp("engine"))


@contextmanager
def hurried_calibration() -> Iterator[None]:
    """int8 models are then made in a hurry: the faces are poor, the arithmetic is the same."""
    with pytest.MonkeyPatch.context() as patch:
        for constant in ("RANGE_LATENTS", "SENSITIVITY_LATENTS", "MOMENT_LATENTS"):
            patch.setattr(calibration, constant, 50)
        yield


@pytest.fixture(scope="session")
def int8_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model files by the names in SHAPES."""
    folder = tmp_path_factory.mktemp("int8")
    with hurried_calibration():
        for name, shape in SHAPES.items():
            weights = tiny_weights(**shape)
            if name.endswith("zero-to-one"):
                weights = dataclasses.replace(weights, pixel_range=(0.0, 1.0))
            write_tiny_model(folder / f"{name}.onnx", weights, precision="int8")
    return {name: folder / f"{name}.onnx" for name in SHAPES}
