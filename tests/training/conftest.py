"""A folder of small noisy pictures and a config that trains on them in moments."""

import importlib.util
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatar_training.config import TrainConfig

if importlib.util.find_spec("mindspore") is None:  # no wheel for this Python; config and draws need none
    collect_ignore_glob = ["test_[!cd]*.py", "test_cli.py", "test_checkpoint.py", "test_dataset.py", "test_download.py"]

MakeConfig = Callable[..., TrainConfig]


def png(seed: int, size: tuple[int, int] = (40, 48), mode: str = "RGB") -> bytes:
    """A picture of noise as the bytes of a PNG file."""
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(22):
        (folder / f"{i:02}.png").write_bytes(png(i))
    return folder


@pytest.fixture
def tiny_config(pictures: Path) -> MakeConfig:
    def make(**changes: object) -> TrainConfig:
        settings = {"batch_size": 4, "image_size": 32, "ngf": 8, "ndf": 8, "steps": 14, "tick": 4}
        return TrainConfig(**{"data": str(pictures), **settings, **changes})  # type: ignore[arg-type]

    return make
