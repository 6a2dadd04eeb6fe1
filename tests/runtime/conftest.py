"""Fixtures of the avatar-gen tests."""

import hashlib
import json
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import onnx
import pytest
from click.testing import CliRunner, Result

from avatar_runtime import AvatarGenerator
from avatar_runtime.command.cli import main
from tiny_model import bright_scorer

FIXTURE = json.loads(Path(__file__).with_name("latents_fixture.json").read_text(encoding="utf-8"))
"""Latents that are pinned for every language."""
AvatarGen: TypeAlias = Callable[..., Result]
"""avatar-gen in this process."""
Command: TypeAlias = "Callable[..., subprocess.CompletedProcess[str]]"
"""avatar-gen as a process of its own."""


def installed(command: str) -> str:
    """The path of a command of this installation."""
    found = shutil.which(command, path=sysconfig.get_path("scripts"))
    assert found is not None
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def generator(tiny_model: Path) -> AvatarGenerator:
    return AvatarGenerator.load(tiny_model)


@pytest.fixture
def avatar_gen(tiny_model: Path) -> AvatarGen:
    """avatar-gen with the tiny model, in this process; a later --model wins."""
    return lambda *options: CliRunner().invoke(main, ["--model", str(tiny_model), *options])


@pytest.fixture
def installed_avatar_gen(tiny_model: Path) -> Command:
    """The installed command with the tiny model, as a process of its own."""

    def run(*options: str, **settings: Any) -> "subprocess.CompletedProcess[str]":
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **settings}
        return subprocess.run([installed("avatar-gen"), "--model", str(tiny_model), *options], check=False, **settings)

    return run


@pytest.fixture(scope="session")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scorer of 32x32 RGB images that likes them bright."""
    path = tmp_path_factory.mktemp("scorer") / "bright.onnx"
    onnx.save(bright_scorer(), path)
    return path


@pytest.fixture
def model_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty model folder of the user's."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("AVATAR_EDGE_MODELS", str(folder))
    return folder


def entry(path: Path, **changes: Any) -> dict[str, Any]:
    """What a registry says of a model file."""
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), **changes}


def write_registry(folder: Path, **models: Any) -> None:
    (folder / "models.json").write_text(json.dumps({"models": models}))
