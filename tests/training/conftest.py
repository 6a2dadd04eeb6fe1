"""A folder of small noisy pictures and a config that trains on them in moments."""

import importlib.util
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from avatar_training.cli import main
from avatar_training.config import TrainConfig

from .classifier import write_classifier

if importlib.util.find_spec("mindspore") is None:  # no wheel for this Python; what is left needs none
    collect_ignore_glob = [
        "data",
        "distributed",
        "enlarging",
        "metrics",
        "networks",
        "objective",
        "preparation",
        "report",
    ]
    collect_ignore_glob += ["run_folder", "steering/test_steer.py", "test_cli.py", "test_loop.py", "test_optimizer.py"]

MakeConfig = Callable[..., TrainConfig]


def png(seed: int, size: tuple[int, int] = (40, 48), mode: str = "RGB") -> bytes:
    """A picture of noise as the bytes of a PNG file."""
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """The bytes of a zip."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def lying(data: bytes, place: int, value: bytes) -> bytes:
    """A zip of one file whose two headers state another value; place: where in the first."""
    changed = bytearray(data)
    for signature, offset in ((b"PK\3\4", place), (b"PK\1\2", place + 2)):
        at = changed.index(signature) + offset
        changed[at : at + len(value)] = value
    return bytes(changed)


def avatar_train(*arguments: object) -> Result:
    """What the command does with these arguments."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(result: Result, *words: str, code: int = 1) -> None:
    """Fails unless a command ended with one sentence that has these words."""
    assert result.exit_code == code, result.output
    assert result.stderr.count("Error:") == 1
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr


@pytest.fixture
def on_cpu() -> None:
    """MindSpore takes no other word once it has computed."""
    from avatar_training import device

    device.select("CPU")


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classifier(tmp_path_factory.mktemp("classifier") / "classifier.onnx")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(22):
        (folder / f"{i:02}.png").write_bytes(png(i))
    return folder


STEPS = 14


@pytest.fixture(scope="session")
def tiny_config(pictures: Path) -> MakeConfig:
    def make(**changes: object) -> TrainConfig:
        settings = {"batch_size": 4, "image_size": 32, "ngf": 8, "ndf": 8, "steps": STEPS, "snapshot_every": 4}
        return TrainConfig(**{"data": str(pictures), **settings, **changes})  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def whole_run(tiny_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 14 steps that nothing interrupted."""
    from avatar_training.loop import train

    out = tmp_path_factory.mktemp("whole") / "run"
    assert train(tiny_config(), out).finished
    return out


def weights(out: Path) -> dict[str, bytes]:
    """Every byte of what a run ended with: the networks it leaves and the state in its newest snapshot."""
    from avatar_training.run_folder import checkpoint

    newest = checkpoint.snapshots(out / "snapshots")[0]
    files = [out / "generator.ckpt", out / "discriminator.ckpt", newest]
    return {f"{file.name}:{name}": a.tobytes() for file in files for name, a in checkpoint.read(file).items()}


def stats(out: Path, value: str) -> list[dict[str, Any]]:
    """The rows of stats.jsonl that have a value of this name."""
    rows = [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]
    return [row for row in rows if value in row]


def losses(out: Path) -> list[tuple[float, float]]:
    """The two losses of each step in stats.jsonl, which has to have each step once."""
    rows = stats(out, "g_loss")
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    return [(row["g_loss"], row["d_loss"]) for row in rows]
