"""No int8 file is written that the engine in C draws differently from onnxruntime."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from avatar_export.int8 import calibration
from avatar_export.validation import engine
from avatar_export.validation.engine import Engine, EngineError, check_engine
from avatar_runtime import AvatarGenerator
from avatar_runtime.generator import embedded_model
from tiny_model import tiny_weights, write_tiny_model


@pytest.fixture(autouse=True)
def quick_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    for constant in ("RANGE_LATENTS", "SENSITIVITY_LATENTS", "MOMENT_LATENTS"):
        monkeypatch.setattr(calibration, constant, 50)


def test_the_embedded_model_passes() -> None:
    with AvatarGenerator.load() as generator:
        check_engine(embedded_model().read_bytes(), generator)


def test_what_the_engine_cannot_draw_is_refused_in_a_sentence(tiny_model: Path) -> None:
    with pytest.raises(EngineError, match="refuses the file: it is not an int8 model; export it with --precision int8"):
        Engine(tiny_model.read_bytes())


def test_a_file_that_the_engine_draws_differently_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw: Callable[[Engine, npt.NDArray[np.float32]], npt.NDArray[np.uint8]] = Engine.draw

    def wrong(self: Engine, z: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        images = draw(self, z)
        images[3, 0, 0, 0] ^= 1
        return images

    monkeypatch.setattr(engine.Engine, "draw", wrong)
    with pytest.raises(EngineError, match=f"draws 1 of {engine.FACES} faces differently from onnxruntime"):
        write_tiny_model(tmp_path / "a.onnx", tiny_weights(ngf=1, latent_dim=3), precision="int8")
    assert list(tmp_path.iterdir()) == []


def test_a_sensitive_first_layer_is_drawn_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "MIN_GAIN_DB", -100.0)
    write_tiny_model(tmp_path / "a.onnx", tiny_weights(ngf=2, latent_dim=3, latent_map=True), precision="int8")
